import { describe, expect, it } from 'vitest';
import { align, lastFinal, stack, withZeros, type Line } from './series';

const line = (times: number[], values: (number | null)[], complete: number | null, step = 10): Line => ({
  key: 'k', label: 'l', unit: '', step, times, values, complete,
});

describe('lines of a chart', () => {
  it('draw what is final solid, what is not apart, and both meet', () => {
    const a = align([line([0, 10, 20, 30], [1, 2, 3, 4], 25)], 0, 40);
    expect(a.x).toEqual([0, 0.01, 0.02, 0.03]);
    expect(a.solid[0]).toEqual([1, 2, null, null]);
    expect(a.open[0]).toEqual([null, 2, 3, 4]);
  });

  it('have nothing solid while nothing is final', () => {
    const a = align([line([0, 10], [1, 2], null)], 0, 20);
    expect([a.solid[0], a.open[0]]).toEqual([[null, null], [1, 2]]);
  });

  it('have a gap where a bucket is missing, and none between the buckets of a longer step', () => {
    const a = align([line([0, 20], [1, 2], 100), line([0, 20], [5, 6], 100, 20)], 0, 40);
    expect(a.solid[0]).toEqual([1, null, 2, null]);
    expect(a.solid[1]).toEqual([5, undefined, 6, null]); // past its last final point there is nothing to join
  });

  it('are zero where a count has no rows, but only up to what is final', () => {
    const z = withZeros(line([10], [7], 35), 0);
    expect([z.times, z.values]).toEqual([[0, 10, 20], [0, 7, 0]]);
    expect(withZeros(line([10], [7], null), 0).times).toEqual([10]);
  });

  it('say their newest final value', () => {
    expect(lastFinal(line([0, 10, 20], [1, 2, 3], 20))).toBe(2);
    expect(lastFinal(line([0, 10, 20], [1, null, 3], 20))).toBe(1);
    expect(lastFinal(line([0], [9], null))).toBe(9);
  });

  it('stack', () => {
    expect(stack([[1, 2, null], [10, null, 5]])).toEqual([[1, 2, null], [11, null, 5]]);
  });
});
