// From answers about series to what a chart draws.
import { milliseconds } from './range';
import { seriesKey } from './delta';
import type { Metrics, Series } from './types';

/** One line, or one layer of bars, of a chart. */
export interface Line {
  key: string;
  label: string;
  unit: string;
  /** Milliseconds between points. */
  step: number;
  times: number[];
  values: (number | null)[];
  /** Everything up to this time is final; null: nothing is. */
  complete: number | null;
  href?: string;
  /** A colour for a meaning, such as failures; else the chart gives one. */
  color?: string;
}

export interface LineOptions {
  column: string;
  label?: (s: Series) => string;
  href?: (s: Series) => string;
  color?: string;
  /** Of a count: a final bucket without rows is zero, not a gap. */
  zero?: boolean;
}

/** The column of every series as a line. Series without the column are left out. */
export function linesOf(m: Metrics | undefined, want: (s: Series) => boolean, o: LineOptions): Line[] {
  const lines: Line[] = [];
  for (const s of m?.series ?? []) {
    const at = s.columns.indexOf(o.column);
    if (at < 1 || !want(s)) continue;
    const line: Line = {
      key: `${seriesKey(s)} ${o.column}`,
      label: o.label?.(s) ?? nameOf(s),
      unit: s.unit,
      step: milliseconds(s.step) || milliseconds(m!.step) || 10_000,
      times: s.points.map((p) => p[0]),
      values: s.points.map((p) => p[at] ?? null),
      complete: completeOf(m!, s),
      href: o.href?.(s),
      color: o.color,
    };
    lines.push(o.zero ? withZeros(line, Date.parse(m!.from)) : line);
  }
  return lines;
}

/** The line with a zero in each final bucket that has no point. */
export function withZeros(l: Line, from: number): Line {
  if (l.complete === null || (l.complete - from) / l.step > 5000) return l;
  const at = new Map(l.times.map((t, i) => [t, l.values[i]!]));
  for (let t = Math.ceil(from / l.step) * l.step; t + l.step <= l.complete; t += l.step) if (!at.has(t)) at.set(t, 0);
  const times = [...at.keys()].sort((a, b) => a - b);
  return { ...l, times, values: times.map((t) => at.get(t)!) };
}

/** complete_through of the output that the series is from. */
export function completeOf(m: Metrics, s: { pipeline: string; output: string }): number | null {
  const o = m.outputs.find((x) => x.pipeline === s.pipeline && x.output === s.output);
  const at = o?.complete_through ?? m.complete_through;
  return at ? Date.parse(at) : null;
}

export function nameOf(s: Series): string {
  const values = Object.values(s.labels);
  return values.length ? values.join(' ') : s.name;
}

/** The first of the columns that the series has. */
export function firstColumn(s: Series, ...names: string[]): string {
  return names.find((n) => s.columns.includes(n)) ?? s.columns[1] ?? '';
}

export function last(l: Line): number | null {
  for (let i = l.values.length - 1; i >= 0; i--) if (l.values[i] !== null) return l.values[i]!;
  return null;
}

/** The value of the newest final point; of the newest if none is final. */
export function lastFinal(l: Line): number | null {
  if (l.complete === null) return last(l);
  for (let i = l.values.length - 1; i >= 0; i--) {
    if (l.values[i] !== null && l.times[i]! + l.step <= l.complete) return l.values[i]!;
  }
  return last(l);
}

export function sum(l: Line): number {
  return l.values.reduce<number>((a, v) => a + (v ?? 0), 0);
}

export function highest(l: Line): number {
  return l.values.reduce<number>((a, v) => (v === null ? a : Math.max(a, v)), -Infinity);
}

/** The lines with the highest values first, at most n of them. */
export function top(lines: Line[], n: number, by: (l: Line) => number = highest): Line[] {
  return [...lines].sort((a, b) => by(b) - by(a) || a.label.localeCompare(b.label)).slice(0, n);
}

export interface Aligned {
  x: number[];
  /** Final points, a pair of lists for each line: one to draw solid, one to draw as provisional. */
  solid: (number | null | undefined)[][];
  open: (number | null | undefined)[][];
}

/**
 * All lines on one axis of time, in seconds as uPlot wants it. A bucket that should be there and is not is a gap (null); a
 * time that is no bucket of a line is nothing (undefined). The provisional list starts at the last final point, so that the
 * two meet.
 */
export function align(lines: Line[], from: number, to: number): Aligned {
  const times = new Set<number>();
  const step = Math.min(...lines.map((l) => l.step), to - from || 1);
  for (const l of lines) for (const t of l.times) times.add(t);
  if ((to - from) / step <= 5000) for (let t = Math.ceil(from / step) * step; t < to; t += step) times.add(t);
  const xs = [...times].sort((a, b) => a - b);
  const out: Aligned = { x: xs.map((t) => t / 1000), solid: [], open: [] };
  for (const l of lines) {
    const at = new Map(l.times.map((t, i) => [t, l.values[i]!]));
    const end = lastSolid(l);
    out.solid.push(xs.map((t) => (t > end && end !== Infinity ? null : pick(at, t, l.step))));
    out.open.push(xs.map((t) => (t < end ? null : pick(at, t, l.step))));
  }
  return out;
}

function pick(at: Map<number, number | null>, t: number, step: number): number | null | undefined {
  const v = at.get(t);
  if (v !== undefined) return v;
  return t % step === 0 ? null : undefined;
}

/** Start of the last final point of the line. */
function lastSolid(l: Line): number {
  if (l.complete === null) return -Infinity;
  let end = -Infinity;
  for (const t of l.times) if (t + l.step <= l.complete) end = t;
  return end;
}

/** Each line stacked on those before it. Missing is zero: stacks are for counts. */
export function stack(lists: (number | null | undefined)[][]): (number | null | undefined)[][] {
  const below: number[] = [];
  return lists.map((list) =>
    list.map((v, i) => {
      if (v === null || v === undefined) return v === null ? null : undefined;
      below[i] = (below[i] ?? 0) + v;
      return below[i];
    }),
  );
}
