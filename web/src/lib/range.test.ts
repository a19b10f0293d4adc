import { describe, expect, it } from 'vitest';
import { bounds, label, milliseconds, rangeFrom, rangeParams, shift, zoomOut } from './range';

const now = Date.parse('2026-11-24T12:00:00Z');

describe('a range', () => {
  it('reads durations', () => {
    expect(['10s', '1h30m', '2d', '1w', '1.5h', '250ms'].map(milliseconds)).toEqual([10_000, 5_400_000, 172_800_000, 604_800_000, 5_400_000, 250]);
    expect(['', '10', 'x', '-5m', '5 m'].map(milliseconds)).toEqual([NaN, NaN, NaN, NaN, NaN]);
  });

  it('is in the address, and what makes no sense there is the default', () => {
    for (const r of [{ last: '2d' }, { from: 1_000, to: 2_000 }]) expect(rangeFrom(new URLSearchParams(rangeParams(r)))).toEqual(r);
    for (const q of ['', 'last=x', 'from=5', 'from=9&to=3']) expect(rangeFrom(new URLSearchParams(q))).toEqual({ last: '30m' });
  });

  it('goes back by half of it, and forward until it is live again', () => {
    const back = shift({ last: '1h' }, -1, now);
    expect(back).toEqual({ from: now - 5_400_000, to: now - 1_800_000 });
    expect(shift(back, 1, now)).toEqual({ last: '1h' });
  });

  it('zooms out around its middle, not beyond now', () => {
    const r = zoomOut({ from: now - 36e5 * 10, to: now - 36e5 * 9 }, now);
    expect(bounds(r, now)).toEqual({ from: now - 36e5 * 10.5, to: now - 36e5 * 8.5 });
    expect(zoomOut({ last: '30m' }, now)).toEqual({ last: '1h' });
  });

  it('has words', () => {
    expect([label({ last: '5m' }), label({ last: '1h' }), label({ last: '7d' })]).toEqual(['Last 5 minutes', 'Last hour', 'Last 7 days']);
  });
});
