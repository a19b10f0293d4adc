// The address is the state of the page: what is shown, of which range, with which filters. Nothing else remembers it.
import { rangeFrom, rangeParams, type Range } from './range';

class Route {
  path = $state(location.pathname);
  query = $state.raw(new URLSearchParams(location.search));

  get range(): Range {
    return rangeFrom(this.query);
  }

  /** The first part of the path, and what it shows in particular. */
  get parts(): string[] {
    return this.path.split('/').filter(Boolean).map(decodeURIComponent);
  }

  param(name: string): string {
    return this.query.get(name) ?? '';
  }
}

export const route = new Route();

function read(): void {
  route.path = location.pathname;
  route.query = new URLSearchParams(location.search);
}

/** A path of the page with the present range, and other parameters. */
export function url(path: string, params: Record<string, string | undefined> = {}): string {
  const q = new URLSearchParams();
  for (const k of ['last', 'from', 'to']) {
    const v = route.query.get(k);
    if (v && !('from' in params || 'last' in params)) q.set(k, v);
  }
  for (const [k, v] of Object.entries(params)) if (v) q.set(k, v);
  const text = q.toString();
  return text ? `${path}?${text}` : path;
}

export function go(to: string, replace = false): void {
  if (to === location.pathname + location.search) return;
  if (replace) history.replaceState(null, '', to);
  else history.pushState(null, '', to);
  const moved = route.path !== location.pathname;
  read();
  if (moved && !replace) window.scrollTo(0, 0);
}

/** Changes parameters of the present path; empty ones go. */
export function setParams(params: Record<string, string>, replace = true): void {
  const q = new URLSearchParams(route.query);
  for (const [k, v] of Object.entries(params)) {
    if (v) q.set(k, v);
    else q.delete(k);
  }
  const text = q.toString();
  go(text ? `${route.path}?${text}` : route.path, replace);
}

export function setRange(r: Range): void {
  setParams({ last: '', from: '', to: '', ...rangeParams(r) }, false);
}

/** Links of the page change the address without a new load; all others are the browser's. */
export function followLinks(e: MouseEvent): void {
  if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
  const a = (e.target as Element).closest?.('a');
  if (!a || a.target || a.hasAttribute('download') || a.origin !== location.origin || a.pathname.startsWith('/api/')) return;
  e.preventDefault();
  go(a.pathname + a.search);
}

window.addEventListener('popstate', read);
