import { describe, expect, it } from 'vitest';
import { applyDelta, mergePoints } from './delta';
import type { Metrics, Point, Series } from './types';

const series = (host: string, points: Point[]): Series => ({
  name: 'cpu', unit: '1', pipeline: 'p', output: 'o', labels: { host, tenant: 'a' }, step: '10s', columns: ['time', 'avg'], points,
});
const metrics = (from: number, all: Series[]): Metrics => ({
  from: new Date(from).toISOString(), to: new Date(from + 60_000).toISOString(), step: '10s', complete_through: null, series: all, series_total: all.length,
  outputs: [{ pipeline: 'p', output: 'o', name: 'cpu', unit: '1', family: 'system', type: 'cpu', window: '10s', keep: '6h', groups: ['host'], columns: [] }],
});

describe('a delta', () => {
  it('puts and replaces points by time', () => {
    const old = metrics(0, [series('a', [[0, 1], [10_000, 2], [30_000, 4]])]);
    const next = applyDelta(old, { ...metrics(0, [series('a', [[10_000, 9], [20_000, 3]])]), outputs: [] });
    expect(next.series[0]!.points).toEqual([[0, 1], [10_000, 9], [20_000, 3], [30_000, 4]]);
    expect(old.series[0]!.points).toHaveLength(3);
  });

  it('drops what lies before its range, and series without points', () => {
    const old = metrics(0, [series('a', [[0, 1]]), series('b', [[0, 1], [20_000, 2]])]);
    const next = applyDelta(old, { ...metrics(10_000, []), outputs: [] });
    expect(next.series.map((s) => [s.labels.host, s.points])).toEqual([['b', [[20_000, 2]]]]);
  });

  it('inserts new series, whatever the order of their labels', () => {
    const old = metrics(0, [series('a', [[0, 1]])]);
    const again = { ...series('a', [[0, 5]]), labels: { tenant: 'a', host: 'a' } };
    const next = applyDelta(old, { ...metrics(0, [again, series('c', [[0, 7]])]), outputs: [{ pipeline: 'p', output: 'o', complete_through: '2026-01-01T00:00:00Z' }] });
    expect(next.series.map((s) => [s.labels.host, s.points[0]![1]])).toEqual([['a', 5], ['c', 7]]);
    expect(next.outputs[0]!.complete_through).toBe('2026-01-01T00:00:00Z');
    expect(next.outputs[0]!.family).toBe('system');
  });

  it('merges like a map of times, for many pairs of lists', () => {
    let seed = 7;
    const random = (n: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % n;
    for (let round = 0; round < 300; round++) {
      const list = (value: number): Point[] =>
        [...new Set(Array.from({ length: random(8) }, () => random(12)))].sort((a, b) => a - b).map((t) => [t, value]);
      const [a, b] = [list(1), list(2)];
      const want = [...new Map([...a, ...b].map((p) => [p[0], p]))].sort((x, y) => x[0] - y[0]).map((e) => e[1]);
      expect(mergePoints(a, b)).toEqual(want);
    }
  });
});
