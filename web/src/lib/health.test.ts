import { describe, expect, it } from 'vitest';
import { behind } from './health';
import type { Pipeline } from './types';

const pipeline = (state: string, lag_seconds: number): Pipeline => ({ name: 'p', state, lag_seconds }) as unknown as Pipeline;

describe('behind', () => {
  it('is what needs somebody', () => {
    expect(behind(pipeline('running', 3))).toBe(false);
    expect(behind(pipeline('starting', 0))).toBe(false);
    expect(behind(pipeline('running', 31))).toBe(true);
    expect(behind(pipeline('failed', 0))).toBe(true);
    expect(behind(pipeline('isolating', 0))).toBe(true);
  });
});
