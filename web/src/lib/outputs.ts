// Which outputs of the pipelines answer which question of a page. Pages know no pipeline by name: what is asked for is a kind
// of metric, or a set of columns, so that a library that grows shows up by itself.
import { withParams } from './api';
import type { Output } from './types';

export const hostTypes = ['cpu', 'memory', 'disk', 'network'] as const;

const titles: Record<string, string> = {
  'system.cpu.utilization': 'CPU',
  'system.memory.utilization': 'Memory',
  'system.filesystem.utilization': 'Disk space',
  'system.network.io': 'Network',
  'system.disk.io': 'Disk traffic',
};

export function titleOf(o: Output): string {
  return titles[o.name] ?? o.name;
}

/** The first output about a kind of metric of hosts; a ratio is preferred to other units, the finest window to a coarser. */
export function hostOutput(all: Output[], type: string): Output | undefined {
  const fits = all.filter((o) => o.family === 'system' && o.groups.includes('host') && kindOf(o) === type);
  return fits.sort((a, b) => Number(b.unit === '1') - Number(a.unit === '1'))[0];
}

function kindOf(o: Output): string {
  const type = o.type || o.name.split('.')[1] || '';
  return type === 'filesystem' ? 'disk' : type;
}

/** Outputs about security that have all of the columns, and can add them up over groups; those with the most groups last. */
export function securityOutputs(all: Output[], ...columns: string[]): Output[] {
  return all
    .filter((o) => o.family === 'security' && columns.every((c) => isCount(o, c)))
    .sort((a, b) => a.groups.length - b.groups.length);
}

/** The column that says most about a gauge. */
export function mainColumn(o: Output): string {
  for (const f of ['avg', 'max', 'sum', 'count']) {
    const c = o.columns.find((x) => x.function === f);
    if (c) return c.name;
  }
  return o.columns[0]?.name ?? '';
}

/** The unit of those of the columns that have one; none if they differ. */
export function unitOf(o: Output, columns: string[]): string {
  const units = new Set(o.columns.filter((c) => c.unit && columns.includes(c.name)).map((c) => c.unit));
  return units.size === 1 ? [...units][0]! : '';
}

export function columnOf(o: Output, f: string): string | undefined {
  return o.columns.find((c) => c.function === f)?.name;
}

/** Counts are drawn as bars: what is missing is none. */
export function isCount(o: Output, column: string): boolean {
  const f = o.columns.find((c) => c.name === column)?.function;
  return f === 'count' || f === 'sum';
}

/** The path of a question about an output; empty if there is no output. */
export function query(o: Output | undefined, params: Record<string, string | number | string[] | undefined>): string {
  return o ? withParams('/query', { pipeline: o.pipeline, output: o.output, ...params }) : '';
}
