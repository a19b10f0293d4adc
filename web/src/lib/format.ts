// How numbers and times are written. Everything is short, and as wide as its neighbours.

/** A value with its UCUM unit. A ratio (unit 1) is written as percent. */
export function value(v: number | null | undefined, unit: string): string {
  if (v === null || v === undefined || Number.isNaN(v)) return '–';
  switch (unit) {
    case '1':
      return `${trim(v * 100, 1)} %`;
    case 'By':
      return bytes(v);
    case 'By/s':
      return `${bytes(v)}/s`;
    case 'ms':
      return v >= 1000 ? `${trim(v / 1000, 2)} s` : `${trim(v, v < 10 ? 1 : 0)} ms`;
    case 's':
      return seconds(v);
    case '':
    case '{count}':
      return count(v);
  }
  return `${count(v)} ${unit.replace(/[{}]/g, '')}`;
}

/** As value, but at most two digits after the point, and without a unit that a title says already. */
export function axisValue(v: number, unit: string): string {
  if (unit === '1') return `${Number((v * 100).toFixed(1))}%`;
  return value(v, unit);
}

function trim(v: number, digits: number): string {
  return v.toFixed(digits);
}

/** 1 234 and 12.3 k: whole numbers stay whole below ten thousand. */
export function count(v: number | null | undefined): string {
  if (v === null || v === undefined) return '–';
  const a = Math.abs(v);
  if (a >= 1e9) return `${trim(v / 1e9, 2)} G`;
  if (a >= 1e6) return `${trim(v / 1e6, 2)} M`;
  if (a >= 1e4) return `${trim(v / 1e3, 1)} k`;
  if (Number.isInteger(v)) return whole(v);
  return a >= 100 ? trim(v, 0) : a >= 1 ? trim(v, 2) : String(Number(v.toPrecision(3)));
}

/** All digits, in groups of three. */
export function whole(v: number): string {
  return String(Math.round(v)).replace(/\B(?=(\d{3})+(?!\d))/g, '\u202f');
}

export function bytes(v: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (Math.abs(v) >= 1024 && i < units.length - 1) {
    v /= 1024;
    i++;
  }
  return `${i === 0 ? Math.round(v) : trim(v, v < 10 ? 1 : 0)} ${units[i]}`;
}

/** A length of time: 0.4 s, 12 s, 3 min 5 s, 2 h 10 min, 3 d 4 h. */
export function seconds(s: number): string {
  if (s < 0) return `−${seconds(-s)}`;
  if (s < 9.95) return `${trim(s, 1)} s`;
  const n = Math.round(s);
  if (n < 60) return `${n} s`;
  if (n < 3600) return two(n, 60, 'min', 's');
  if (n < 86400) return two(Math.round(n / 60), 60, 'h', 'min');
  return two(Math.round(n / 3600), 24, 'd', 'h');
}

function two(n: number, per: number, big: string, small: string): string {
  const rest = n % per;
  return rest ? `${Math.floor(n / per)} ${big} ${rest} ${small}` : `${n / per} ${big}`;
}

/** How long ago, in words of one unit. */
export function ago(ms: number): string {
  const s = Math.round(ms / 1000);
  if (s < -1) return `in ${coarse(-s)}`;
  return s < 1 ? 'now' : `${coarse(s)} ago`;
}

/** A length of time in one unit. */
export function coarse(s: number): string {
  if (s < 100) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return s < 129_600 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86_400)} d`;
}

const pad = (n: number) => String(n).padStart(2, '0');

/** Local time of day. */
export function clock(at: string | number): string {
  const d = new Date(at);
  return `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
}

/** Local time; with the date if it is not today's. */
export function time(at: string | number, now: number): string {
  const d = new Date(at);
  const day = `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
  return d.toDateString() === new Date(now).toDateString() ? clock(at) : `${day} ${clock(at)}`;
}

/** A time that is missing in the way of the API: null, or the zero time of Go. */
export function known(at: string | null | undefined): at is string {
  return !!at && !at.startsWith('0001-');
}

export function labelText(labels: Record<string, string> | null): string {
  return Object.entries(labels ?? {}).map(([k, v]) => `${k}=${v}`).join(' ');
}

/** JSON indented, anything else as it is. */
export function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** Bytes as sixteen in a line: offset, hexadecimal, characters. */
export function hexdump(base64: string, limit = 4096): string {
  const raw = atob(base64);
  const lines: string[] = [];
  for (let i = 0; i < Math.min(raw.length, limit); i += 16) {
    const part = [...raw.slice(i, i + 16)];
    const hex = part.map((c) => c.charCodeAt(0).toString(16).padStart(2, '0')).join(' ');
    const text = part.map((c) => (c >= ' ' && c <= '~' ? c : '·')).join('');
    lines.push(`${i.toString(16).padStart(6, '0')}  ${hex.padEnd(47)}  ${text}`);
  }
  if (raw.length > limit) lines.push(`… ${raw.length - limit} bytes more`);
  return lines.join('\n');
}
