// The range of time that every page shows: the last so much up to now, or from a time to a time.

export type Range = { last: string } | { from: number; to: number };

export const presets = ['5m', '15m', '30m', '1h', '3h', '6h', '12h', '1d', '2d', '7d'];
export const defaultRange: Range = { last: '30m' };

const unit: Record<string, number> = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 };

/** Milliseconds of 10s, 1h30m, 2d; NaN if it is none. */
export function milliseconds(text: string): number {
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d|w))+$/.test(text)) return NaN;
  let sum = 0;
  for (const [, n, u] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d|w)/g)) sum += Number(n) * unit[u!]!;
  return sum;
}

export function rangeFrom(q: URLSearchParams): Range {
  const from = Number(q.get('from'));
  const to = Number(q.get('to'));
  if (from > 0 && to > from) return { from, to };
  const last = q.get('last');
  if (last && milliseconds(last) > 0) return { last };
  return defaultRange;
}

/** The parameters for the page's address and for the API alike. */
export function rangeParams(r: Range): Record<string, string> {
  return 'last' in r ? { last: r.last } : { from: String(Math.round(r.from)), to: String(Math.round(r.to)) };
}

export function bounds(r: Range, now: number): { from: number; to: number } {
  return 'last' in r ? { from: now - milliseconds(r.last), to: now } : r;
}

/** The range moved by half of its length; towards now it becomes live again. */
export function shift(r: Range, direction: -1 | 1, now: number): Range {
  const b = bounds(r, now);
  const by = ((b.to - b.from) / 2) * direction;
  if (b.to + by >= now) return asLast(b.to - b.from) ?? defaultRange;
  return { from: b.from + by, to: b.to + by };
}

/** Twice as long around the same middle, but never beyond now. */
export function zoomOut(r: Range, now: number): Range {
  const b = bounds(r, now);
  const length = Math.min((b.to - b.from) * 2, milliseconds('30d'));
  const to = Math.min(b.to + (length - (b.to - b.from)) / 2, now);
  if (to >= now - 1000) return asLast(length) ?? { from: to - length, to };
  return { from: to - length, to };
}

function asLast(length: number): Range | null {
  const preset = presets.find((p) => milliseconds(p) >= length - 1000);
  return preset ? { last: preset } : null;
}

const words: Record<string, string> = { m: 'minute', h: 'hour', d: 'day', w: 'week' };

export function label(r: Range): string {
  if ('from' in r) return `${stamp(r.from)} – ${stamp(r.to, r.from)}`;
  const m = /^(\d+)([mhdw])$/.exec(r.last);
  if (!m) return `Last ${r.last}`;
  return m[1] === '1' ? `Last ${words[m[2]!]}` : `Last ${m[1]} ${words[m[2]!]}s`;
}

/** Local date and time; the date only where it differs from the day of beside. */
export function stamp(ms: number, beside?: number): string {
  const d = new Date(ms);
  const p = (n: number) => String(n).padStart(2, '0');
  const time = `${p(d.getHours())}:${p(d.getMinutes())}:${p(d.getSeconds())}`;
  if (beside !== undefined && new Date(beside).toDateString() === d.toDateString()) return time;
  return `${d.getFullYear()}-${p(d.getMonth() + 1)}-${p(d.getDate())} ${time}`;
}
