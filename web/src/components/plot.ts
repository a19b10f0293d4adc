// How uPlot is set up: one look for all charts.
import uPlot from 'uplot';
import { css } from '../lib/colors';

/** A span of time to mark, such as that of an alert. */
export interface Shade {
  from: number;
  to: number;
  color: string;
}

export interface PlotOptions {
  width: number;
  height: number;
  kind: 'line' | 'bars';
  ceiling: number;
  lines: { label: string; color: string }[];
  axis(v: number): string;
  bounds(): [number, number];
  background(u: uPlot): void;
  hover(index: number | null): void;
  zoom(from: number, to: number): void;
}

/** All charts of the page have one cross-hair. */
const together = 'tidewatch';
const font = '11px Inter, system-ui, sans-serif';
const axisWidth = 56;
const leastZoom = 4; // pixels; a click is no zoom

export function options(o: PlotOptions): uPlot.Options {
  const muted = css('--muted');
  const grid = { stroke: css('--grid'), width: 1 };
  const order = o.kind === 'bars' ? [...o.lines].reverse() : o.lines;
  return {
    width: o.width,
    height: o.height,
    padding: [8, 22, 0, 0],
    legend: { show: false },
    cursor: {
      drag: { x: true, y: false, setScale: false },
      y: false,
      points: o.kind === 'bars' ? { show: false } : { size: 6, width: 1 },
      sync: {
        key: together,
        setSeries: false,
        scales: ['x', null],
        filters: { pub: (type) => type === 'mousemove' || type === 'mouseleave', sub: () => true },
      },
    },
    scales: {
      x: { time: true, range: () => o.bounds() },
      y: { range: (_u, _min, max) => [0, headroom(Math.max(o.ceiling, max ?? 0), o.ceiling)] },
    },
    axes: [
      { stroke: muted, grid, ticks: { show: false }, font, size: 26, gap: 4, space: 72, values: times },
      { stroke: muted, grid, ticks: { show: false }, font, size: axisWidth, gap: 6, space: 34, values: (_u, splits) => splits.map(o.axis) },
    ],
    series: [{}, ...order.map((l) => solid(l, o.kind)), ...order.map((l) => open(l, o.kind))],
    hooks: {
      drawClear: [o.background],
      setCursor: [(u) => o.hover(u.cursor.idx ?? null)],
      setSelect: [
        (u) => {
          const { left, width } = u.select;
          if (width < leastZoom) return;
          o.zoom(u.posToVal(left, 'x'), u.posToVal(left + width, 'x'));
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    },
  };
}

function headroom(max: number, ceiling: number): number {
  if (max <= 0) return 1;
  return max <= ceiling ? ceiling : max * 1.08;
}

const bars = () => uPlot.paths.bars!({ size: [0.82, 60], align: 1 });

function solid(l: { label: string; color: string }, kind: 'line' | 'bars'): uPlot.Series {
  if (kind === 'bars') return { label: l.label, fill: l.color, stroke: l.color, width: 0, paths: bars(), points: { show: false } };
  return { label: l.label, stroke: l.color, width: 1.5, spanGaps: false, points: lonely(l.color) };
}

/** What is not final yet: dashed, or pale. */
function open(l: { label: string; color: string }, kind: 'line' | 'bars'): uPlot.Series {
  if (kind === 'bars') return { label: l.label, fill: `${l.color}55`, stroke: l.color, width: 1, dash: [2, 2], paths: bars(), points: { show: false } };
  return { label: l.label, stroke: `${l.color}c0`, width: 1.3, dash: [3, 3], spanGaps: false, points: lonely(`${l.color}c0`) };
}

/** A point between two gaps has no line: it is drawn as a dot. */
function lonely(color: string): uPlot.Series.Points {
  return {
    show: true,
    size: 3.5,
    fill: color,
    stroke: color,
    filter: (u, i) => {
      const v = u.data[i]!;
      const out: number[] = [];
      for (let k = 0; k < v.length; k++) {
        if (v[k] === null || v[k] === undefined) continue;
        if (before(v, k) && after(v, k)) out.push(k);
      }
      return out;
    },
  };
}

type Values = uPlot.AlignedData[number];

function before(v: Values, k: number): boolean {
  for (k--; k >= 0; k--) if (v[k] !== undefined) return v[k] === null;
  return true;
}

function after(v: Values, k: number): boolean {
  for (k++; k < v.length; k++) if (v[k] !== undefined) return v[k] === null;
  return true;
}

const pad = (n: number) => String(n).padStart(2, '0');

function times(_u: uPlot, splits: number[], _axis: number, _space: number, incr: number): string[] {
  return splits.map((s) => {
    const d = new Date(s * 1000);
    const midnight = d.getHours() + d.getMinutes() + d.getSeconds() === 0;
    if (incr >= 86_400 || midnight) return `${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
    const minute = `${pad(d.getHours())}:${pad(d.getMinutes())}`;
    return incr < 60 ? `${minute}:${pad(d.getSeconds())}` : minute;
  });
}

/** Behind the lines: marked spans, and where the data is not complete yet. */
export function drawBackground(u: uPlot, o: { complete: number | null; to: number; shades: Shade[] }): void {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  const x = (ms: number) => u.valToPos(ms / 1000, 'x', true);
  for (const s of o.shades) {
    ctx.fillStyle = s.color;
    ctx.fillRect(x(s.from), bbox.top, Math.max(x(s.to) - x(s.from), 1), bbox.height);
  }
  const begin = o.complete === null ? bbox.left : Math.max(x(o.complete), bbox.left);
  hatch(u, begin);
  ctx.restore();
}

function hatch(u: uPlot, begin: number): void {
  const { ctx, bbox } = u;
  const end = bbox.left + bbox.width;
  if (begin >= end - 1) return;
  const r = devicePixelRatio || 1;
  ctx.fillStyle = css('--hatch');
  ctx.fillRect(begin, bbox.top, end - begin, bbox.height);
  ctx.strokeStyle = css('--hatch');
  ctx.lineWidth = r;
  ctx.beginPath();
  ctx.rect(begin, bbox.top, end - begin, bbox.height);
  ctx.clip();
  ctx.beginPath();
  for (let p = begin - bbox.height; p < end; p += 6 * r) {
    ctx.moveTo(p, bbox.top + bbox.height);
    ctx.lineTo(p + bbox.height, bbox.top);
  }
  ctx.stroke();
  ctx.strokeStyle = css('--line-strong');
  ctx.beginPath();
  ctx.moveTo(begin, bbox.top);
  ctx.lineTo(begin, bbox.top + bbox.height);
  ctx.stroke();
}
