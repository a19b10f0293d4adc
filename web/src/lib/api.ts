// Requests to the API of the server that the page came from; no other address is ever asked.
import type { Problem } from './types';

export const base = '/api/v2';

/** Why a request has no answer, in the words of the server where it gave some. */
export class ApiError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail || problem.title);
  }
}

const unreachable: Problem = {
  title: 'Unreachable',
  status: 0,
  code: 'unreachable',
  detail: 'The server does not answer. The page keeps trying.',
};

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return request<T>('GET', path, undefined, signal);
}

export async function send<T>(method: 'POST' | 'DELETE', path: string, body?: unknown): Promise<T> {
  return request<T>(method, path, body);
}

async function request<T>(method: string, path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  let r: Response;
  try {
    r = await fetch(base + path, {
      method,
      signal,
      credentials: 'same-origin',
      headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (e) {
    if (signal?.aborted) throw e;
    throw new ApiError(unreachable);
  }
  if (r.status === 204) return undefined as T;
  if (r.ok) return (await r.json()) as T;
  throw new ApiError(await problemOf(r));
}

async function problemOf(r: Response): Promise<Problem> {
  const plain: Problem = { title: r.statusText, status: r.status, code: `http_${r.status}`, detail: `The server answered ${r.status} ${r.statusText}.` };
  if (!r.headers.get('Content-Type')?.includes('json')) return plain;
  try {
    return { ...plain, ...((await r.json()) as Partial<Problem>) };
  } catch {
    return plain;
  }
}

export function asProblem(e: unknown): Problem {
  if (e instanceof ApiError) return e.problem;
  return { title: 'Error', status: 0, code: 'page', detail: e instanceof Error ? e.message : String(e) };
}

/** A path with parameters; undefined ones are left out, arrays repeat the name. */
export function withParams(path: string, params: Record<string, string | number | string[] | undefined>): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(params)) {
    if (v === undefined) continue;
    for (const one of Array.isArray(v) ? v : [String(v)]) q.append(k, one);
  }
  const text = q.toString();
  return text ? `${path}?${text}` : path;
}
