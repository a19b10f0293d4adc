// How a delta of the WebSocket changes an answer about series. The rules are those of the API's live endpoint.
import type { Metrics, MetricsDelta, Point, Series } from './types';

export function seriesKey(s: { pipeline: string; output: string; labels: Record<string, string> }): string {
  const labels = Object.keys(s.labels).sort().map((k) => [k, s.labels[k]]);
  return JSON.stringify([s.pipeline, s.output, labels]);
}

/** The answer after the delta. The old one is left as it was: charts may still be drawing it. */
export function applyDelta(old: Metrics, delta: MetricsDelta): Metrics {
  const from = Date.parse(delta.from);
  const changed = new Map(delta.series.map((s) => [seriesKey(s), s]));
  const series: Series[] = [];
  for (const s of old.series) {
    const key = seriesKey(s);
    const d = changed.get(key);
    changed.delete(key);
    const points = dropBefore(d ? mergePoints(s.points, d.points) : s.points, from);
    if (points.length > 0) series.push({ ...s, ...(d ?? {}), points });
  }
  for (const s of changed.values()) {
    const points = dropBefore(s.points, from);
    if (points.length > 0) series.push({ ...s, points });
  }
  const complete = new Map(delta.outputs.map((o) => [`${o.pipeline}/${o.output}`, o.complete_through]));
  const outputs = old.outputs.map((o) => {
    const at = complete.get(`${o.pipeline}/${o.output}`);
    return at === undefined ? o : { ...o, complete_through: at };
  });
  return {
    from: delta.from, to: delta.to, step: delta.step, complete_through: delta.complete_through,
    series_total: delta.series_total, series, outputs,
  };
}

/** Two ascending lists into one; the newer point of a time wins. */
export function mergePoints(old: Point[], newer: Point[]): Point[] {
  if (newer.length === 0) return old;
  const first = newer[0]![0];
  let at = old.length;
  while (at > 0 && old[at - 1]![0] >= first) at--;
  const merged = old.slice(0, at);
  let i = at;
  let j = 0;
  while (i < old.length || j < newer.length) {
    const a = old[i]?.[0] ?? Infinity;
    const b = newer[j]?.[0] ?? Infinity;
    merged.push(b <= a ? newer[j]! : old[i]!);
    if (a <= b) i++;
    if (b <= a) j++;
  }
  return merged;
}

function dropBefore(points: Point[], from: number): Point[] {
  let n = 0;
  while (n < points.length && points[n]![0] < from) n++;
  return n === 0 ? points : points.slice(n);
}
