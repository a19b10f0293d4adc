// What all pages share: the connection, the clock of the server, who is asking, the theme.
import { asProblem, get } from './api';
import { Live, type Connection } from './live';
import type { Problem, Session } from './types';

export const live = new Live();

type Theme = 'system' | 'light' | 'dark';
const themeKey = 'tidewatch.theme';

class Shared {
  connection = $state<Connection>('connecting');
  /** The server's time, in milliseconds; it moves every second. */
  now = $state(Date.now());
  session = $state.raw<Session | null>(null);
  theme = $state<Theme>(storedTheme());
  /** Whether what is shown is dark, whoever decided it. */
  dark = $state(false);
  narrow = $state(false);

  may(role: string): boolean {
    const roles = this.session?.roles ?? [];
    return roles.includes(role) || roles.includes('admin');
  }
}

export const shared = new Shared();

function storedTheme(): Theme {
  try {
    const t = localStorage.getItem(themeKey);
    return t === 'light' || t === 'dark' ? t : 'system';
  } catch {
    return 'system';
  }
}

export function setTheme(t: Theme): void {
  shared.theme = t;
  try {
    if (t === 'system') localStorage.removeItem(themeKey);
    else localStorage.setItem(themeKey, t);
  } catch {
    // Storage is forbidden: the choice lasts as long as the page.
  }
  if (t === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = t;
  judgeTheme();
}

const prefersDark = matchMedia('(prefers-color-scheme: dark)');
const isNarrow = matchMedia('(max-width: 719px)');

function judgeTheme(): void {
  shared.dark = shared.theme === 'dark' || (shared.theme === 'system' && prefersDark.matches);
}

export async function begin(): Promise<void> {
  judgeTheme();
  prefersDark.addEventListener('change', judgeTheme);
  const judgeWidth = () => (shared.narrow = isNarrow.matches);
  judgeWidth();
  isNarrow.addEventListener('change', judgeWidth);
  live.onchange = () => (shared.connection = live.connection);
  window.addEventListener('online', () => live.retryNow());
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) live.retryNow();
  });
  const tick = () => (shared.now = Date.now() + live.skew);
  setInterval(tick, 1000);
  await meet();
}

/** Asks the server who we are, until it says so. */
export async function meet(): Promise<void> {
  try {
    shared.session = await get<Session>('/session');
  } catch (e) {
    if (asProblem(e).code !== 'unreachable') {
      shared.session = { name: '', roles: ['read'], tokens_required: false }; // a server that knows no sessions
    } else {
      shared.connection = 'offline';
      setTimeout(() => void meet(), 2000);
      return;
    }
  }
  if (shared.session.roles.length > 0) live.start();
}

/** An answer that stays up to date while a component shows it. */
export class Answer<T> {
  data = $state.raw<T | undefined>(undefined);
  problem = $state.raw<Problem | null>(null);
  /** The path whose data is shown; it lags behind the one asked for while that loads. */
  shown = $state('');
  asked = $state('');

  get loading(): boolean {
    return this.data === undefined && this.problem === null;
  }

  /** Old data is shown until the new is there. */
  get stale(): boolean {
    return this.data !== undefined && this.shown !== this.asked;
  }
}

/** Subscribes to a path while the component lives; an empty path asks for nothing. Call it in the component's script. */
export function ask<T>(path: () => string): Answer<T> {
  const a = new Answer<T>();
  $effect(() => {
    const p = path();
    a.asked = p;
    if (!p) {
      a.data = undefined;
      a.problem = null;
      return;
    }
    return live.subscribe(p, {
      data(d) {
        a.data = d as T;
        a.shown = p;
        a.problem = null;
      },
      problem(e) {
        if (a.shown !== p) a.data = undefined;
        a.problem = e;
      },
    });
  });
  return a;
}

/** Asks a path by GET for each change of it, again when the connection comes back, and until the server can answer. */
export function fetched<T>(path: () => string): Answer<T> {
  const a = new Answer<T>();
  let attempt = $state(0);
  $effect(() => {
    const p = path();
    void [shared.connection === 'live', attempt];
    a.asked = p;
    if (!p) {
      a.data = undefined;
      a.problem = null;
      return;
    }
    const abort = new AbortController();
    let again: ReturnType<typeof setTimeout> | undefined;
    get<T>(p, abort.signal).then(
      (d) => {
        if (abort.signal.aborted) return;
        a.data = d;
        a.shown = p;
        a.problem = null;
      },
      (e: unknown) => {
        if (abort.signal.aborted) return;
        if (a.shown !== p) a.data = undefined;
        a.problem = asProblem(e);
        if (a.problem.status === 0 || a.problem.status === 503) again = setTimeout(() => attempt++, retryAfter);
      },
    );
    return () => {
      abort.abort();
      clearTimeout(again);
    };
  });
  return a;
}

const retryAfter = 3000;
