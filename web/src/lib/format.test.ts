import { describe, expect, it } from 'vitest';
import { ago, bytes, count, hexdump, known, pretty, seconds, value, whole } from './format';
import { boxFor, columnsOf, layout } from './graph';

describe('numbers', () => {
  it('are written with their unit', () => {
    expect([value(0.314, '1'), value(2048, 'By'), value(12.345, 'ms'), value(1500, 'ms'), value(3, '{request}'), value(null, '1')]).toEqual([
      '31.4 %', '2.0 KiB', '12 ms', '1.50 s', '3 request', '–',
    ]);
    expect([count(9999), count(12_345), count(1_234_567), count(0.05), whole(1_234_567)]).toEqual(['9\u202f999', '12.3 k', '1.23 M', '0.05', '1\u202f234\u202f567']);
    expect([bytes(12), bytes(10 * 1024 * 1024)]).toEqual(['12 B', '10 MiB']);
  });
  it('of time are short', () => {
    expect([seconds(0.42), seconds(59.6), seconds(125), seconds(7800), seconds(-5)]).toEqual(['0.4 s', '1 min', '2 min 5 s', '2 h 10 min', '−5.0 s']);
    expect([ago(200), ago(42_000), ago(600_000), ago(86_400_000 * 3), ago(-60_000)]).toEqual(['now', '42 s ago', '10 min ago', '3 d ago', 'in 60 s']);
    expect([known(null), known('0001-01-01T00:00:00Z'), known('2026-01-01T00:00:00Z')]).toEqual([false, false, true]);
  });
});

describe('bytes', () => {
  it('are shown as they are', () => {
    expect(pretty('{"a":1}')).toBe('{\n  "a": 1\n}');
    expect(pretty('{oops')).toBe('{oops');
    expect(hexdump(btoa('Hi\u0000\u00ff'))).toBe(`000000  48 69 00 ff${' '.repeat(36)}  Hi··`);
  });
});

describe('the graph', () => {
  it('puts each node after what feeds it, and no two in one place', () => {
    const nodes = ['t', 'a', 'b', 'c', 'out', 'raw'].map((id) => ({ id, kind: 'step', label: id }));
    const edges = [['t', 'a'], ['a', 'b'], ['b', 'c'], ['a', 'out'], ['c', 'out'], ['t', 'raw']].map(([from, to]) => ({ from: from!, to: to! }));
    expect(columnsOf({ nodes, edges })).toBe(5);
    for (const down of [false, true]) {
      const drawn = layout({ nodes, edges }, down, boxFor(800, 5, down));
      const at = new Map(drawn.nodes.map((n) => [n.id, n]));
      for (const e of edges) expect(down ? at.get(e.to)!.y : at.get(e.to)!.x).toBeGreaterThan(down ? at.get(e.from)!.y : at.get(e.from)!.x);
      expect(new Set(drawn.nodes.map((n) => `${n.x} ${n.y}`)).size).toBe(nodes.length);
      expect(drawn.edges).toHaveLength(edges.length);
    }
  });
});
