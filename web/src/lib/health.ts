// When a pipeline needs somebody's eyes.
import { known } from './format';
import type { Pipeline } from './types';

const tolerated = 30; // seconds that the slowest partition may lag

export function behind(p: Pipeline): boolean {
  return p.state === 'failed' || p.state === 'isolating' || p.lag_seconds > tolerated;
}

// Its time goes on when somebody acknowledges, not with events.
const commands = 'tidewatch.commands';

/** The pipeline whose results are final up to the earliest time. */
export function lowestComplete(all: Pipeline[]): { name: string; at: string } | null {
  let low: { name: string; at: string } | null = null;
  for (const p of all) {
    if (p.name !== commands && known(p.complete_through) && (!low || Date.parse(p.complete_through) < Date.parse(low.at))) low = { name: p.name, at: p.complete_through };
  }
  return low;
}
