import { describe, expect, it } from 'vitest';
import { unitOf } from './outputs';
import type { Output } from './types';

const column = (name: string, unit: string) => ({ name, function: 'avg', unit });
const output: Output = {
  pipeline: 'p', output: 'o', name: 'n', unit: '', family: 'custom', type: '', window: '10s', keep: '6h', groups: [],
  columns: [column('lag', 's'), column('age', 's'), column('duration', 'ms'), column('n', '')],
};

describe('the unit of columns', () => {
  it('is the one that they share', () => {
    expect(unitOf(output, ['lag'])).toBe('s');
    expect(unitOf(output, ['lag', 'age', 'n'])).toBe('s');
  });
  it('is none if they differ, or have none', () => {
    expect(unitOf(output, ['lag', 'duration'])).toBe('');
    expect(unitOf(output, ['n'])).toBe('');
    expect(unitOf(output, ['gone'])).toBe('');
  });
});
