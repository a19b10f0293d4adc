// Where the parts of a pipeline are drawn: in columns by their distance from the source, as close to what feeds them as goes.
import type { GraphNode } from './types';

export interface Placed extends GraphNode {
  x: number;
  y: number;
}

export interface Drawn {
  nodes: Placed[];
  edges: { key: string; path: string }[];
  width: number;
  height: number;
}

export interface Box {
  width: number;
  height: number;
  gapX: number;
  gapY: number;
}

const narrowest = 118;
const widest = 176;

/** Boxes as wide as there is room for all columns, within what can be read. */
export function boxFor(room: number, columns: number, down: boolean): Box {
  const gapX = down ? 0 : 26;
  const fit = down ? (room - 14) / 2 : (room - gapX * (columns - 1)) / columns;
  return { width: Math.floor(Math.min(Math.max(fit, narrowest), widest)), height: 50, gapX, gapY: 14 };
}

export function columnsOf(g: { nodes: GraphNode[]; edges: { from: string; to: string }[] }): number {
  return Math.max(0, ...depths(g).values()) + 1;
}

/** Left to right; top to bottom where there is no width for it. */
export function layout(g: { nodes: GraphNode[]; edges: { from: string; to: string }[] }, down: boolean, box: Box): Drawn {
  const depth = depths(g);
  const columns: GraphNode[][] = [];
  for (const n of g.nodes) (columns[depth.get(n.id)!] ??= []).push(n);
  const lane = lanes(columns, g.edges);
  const stepX = box.width + box.gapX;
  const stepY = box.height + box.gapY;
  const nodes = g.nodes.map((n) => {
    const along = depth.get(n.id)!;
    const across = lane.get(n.id)!;
    return down
      ? { ...n, x: across * (box.width + box.gapY), y: along * (box.height + 26) }
      : { ...n, x: along * stepX, y: across * stepY };
  });
  const at = new Map(nodes.map((n) => [n.id, n]));
  const edges = g.edges.flatMap((e) => {
    const a = at.get(e.from);
    const b = at.get(e.to);
    return a && b ? [{ key: `${e.from}>${e.to}`, path: down ? vertical(a, b, box) : horizontal(a, b, box) }] : [];
  });
  return {
    nodes, edges,
    width: Math.max(...nodes.map((n) => n.x), 0) + box.width,
    height: Math.max(...nodes.map((n) => n.y), 0) + box.height,
  };
}

/** The longest way from a source to each node. Nodes come in topological order. */
function depths(g: { nodes: GraphNode[]; edges: { from: string; to: string }[] }): Map<string, number> {
  const depth = new Map(g.nodes.map((n) => [n.id, 0]));
  for (const n of g.nodes) {
    for (const e of g.edges) {
      if (e.from !== n.id || !depth.has(e.to)) continue;
      depth.set(e.to, Math.max(depth.get(e.to)!, depth.get(n.id)! + 1));
    }
  }
  return depth;
}

/** Each node takes the lane of what feeds it, or the next free one. */
function lanes(columns: GraphNode[][], edges: { from: string; to: string }[]): Map<string, number> {
  const lane = new Map<string, number>();
  for (const column of columns) {
    let free = 0;
    const wanted = (column ?? []).map((n) => {
      const from = edges.filter((e) => e.to === n.id).map((e) => lane.get(e.from) ?? 0);
      return { n, want: from.length ? Math.min(...from) : 0 };
    });
    wanted.sort((a, b) => a.want - b.want);
    for (const { n, want } of wanted) {
      const l = Math.max(want, free);
      lane.set(n.id, l);
      free = l + 1;
    }
  }
  return lane;
}

function horizontal(a: Placed, b: Placed, box: Box): string {
  const [x1, y1, x2, y2] = [a.x + box.width, a.y + box.height / 2, b.x - 5, b.y + box.height / 2];
  if (y1 === y2) return `M${x1} ${y1}H${x2}`;
  const turn = x2 - box.gapX / 2 + 4;
  const r = 7 * Math.sign(y2 - y1);
  return `M${x1} ${y1}H${turn - 7}q7 0 7 ${r}V${y2 - r}q0 ${r} 7 ${r}H${x2}`;
}

function vertical(a: Placed, b: Placed, box: Box): string {
  const [x1, y1, x2, y2] = [a.x + box.width / 2, a.y + box.height, b.x + box.width / 2, b.y - 5];
  if (x1 === x2) return `M${x1} ${y1}V${y2}`;
  const turn = y2 - 8;
  return `M${x1} ${y1}V${turn}H${x2}V${y2}`;
}
