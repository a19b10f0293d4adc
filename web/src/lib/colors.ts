// Colours of charts come from the style sheet, so that both themes are in one place.

export const lineColors = 8;

export function css(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Replaces var(--x) for the canvas, which knows no variables. */
export function resolve(color: string): string {
  const m = /^var\((--[\w-]+)\)$/.exec(color);
  return m ? css(m[1]!) : color;
}

export function lineColor(i: number): string {
  return `var(--line-${(i % lineColors) + 1})`;
}
