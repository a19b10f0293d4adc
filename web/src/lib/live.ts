// One WebSocket for the whole page. Questions are named by their path; equal paths share a subscription. While there is no
// connection the same paths are asked by GET, so the page works where WebSockets do not pass.
import { asProblem, base, get } from './api';
import { applyDelta } from './delta';
import type { Metrics, MetricsDelta, Problem } from './types';

export type Connection = 'connecting' | 'live' | 'polling' | 'offline';

export interface Listener {
  data(data: unknown): void;
  problem(p: Problem): void;
}

interface Topic {
  id: string;
  path: string;
  seq: number | null;
  data: unknown;
  listeners: Set<Listener>;
  linger: ReturnType<typeof setTimeout> | null;
}

interface Message {
  type: 'hello' | 'snapshot' | 'delta' | 'error' | 'bye';
  id?: string;
  seq?: number;
  now?: string;
  version?: string;
  data?: unknown;
  problem?: Problem;
}

const firstWait = 500;
const longestWait = 15_000;
const pollEvery = 3_000;
/** How long to wait for the socket before asking by GET. */
const patience = 1_200;
/** How long an unused subscription stays, so that going back is instant. */
const lingerFor = 3_000;
/** After so long without a word the connection is probed, and given up if nothing comes back. */
const silence = 45_000;
const probeFor = 10_000;

export class Live {
  connection: Connection = 'connecting';
  /** Server's clock less ours, in milliseconds. */
  skew = 0;
  version = '';
  onchange: () => void = () => {};

  private socket: WebSocket | null = null;
  private topics = new Map<string, Topic>();
  private next = 1;
  private wait = firstWait;
  private retry: ReturnType<typeof setTimeout> | null = null;
  private poll: ReturnType<typeof setTimeout> | null = null;
  private watchdog: ReturnType<typeof setTimeout> | null = null;
  private polled = false;
  private stopped = true;

  start(): void {
    this.stopped = false;
    this.connect();
  }

  stop(): void {
    this.stopped = true;
    for (const t of [this.retry, this.poll, this.watchdog]) if (t) clearTimeout(t);
    this.socket?.close();
    this.socket = null;
  }

  /** Tries again now: the reader asked, or the network came back. */
  retryNow(): void {
    if (this.stopped || this.socket) return;
    this.wait = firstWait;
    if (this.retry) clearTimeout(this.retry);
    this.connect();
  }

  /** Calls the listener with each new answer of the path until the returned function is called. */
  subscribe(path: string, listener: Listener): () => void {
    let t = this.topics.get(path);
    if (!t) {
      t = { id: `q${this.next++}`, path, seq: null, data: undefined, listeners: new Set(), linger: null };
      this.topics.set(path, t);
      if (this.connection === 'live') this.say({ op: 'subscribe', id: t.id, path });
      else this.schedulePoll(this.connection === 'connecting' ? patience : 0);
    }
    if (t.linger) clearTimeout(t.linger);
    t.linger = null;
    t.listeners.add(listener);
    if (t.data !== undefined) listener.data(t.data);
    const topic = t;
    return () => this.leave(topic, listener);
  }

  private leave(t: Topic, listener: Listener): void {
    t.listeners.delete(listener);
    if (t.listeners.size > 0) return;
    t.linger = setTimeout(() => {
      this.topics.delete(t.path);
      if (this.connection === 'live') this.say({ op: 'unsubscribe', id: t.id });
    }, lingerFor);
  }

  private connect(): void {
    this.retry = null;
    const s = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}${base}/live`);
    this.socket = s;
    s.onmessage = (e) => {
      if (this.socket === s) this.receive(JSON.parse(String(e.data)) as Message);
    };
    s.onclose = () => {
      if (this.socket === s) this.lost();
    };
  }

  private lost(): void {
    this.socket = null;
    if (this.watchdog) clearTimeout(this.watchdog);
    if (this.stopped) return;
    if (this.connection === 'live') this.set('offline');
    for (const t of this.topics.values()) t.seq = null;
    this.retry = setTimeout(() => this.connect(), this.wait * (0.8 + Math.random() * 0.4));
    this.wait = Math.min(this.wait * 2, longestWait);
    this.schedulePoll(0);
  }

  private receive(m: Message): void {
    this.alive();
    switch (m.type) {
      case 'hello':
        if (m.now) this.skew = Date.parse(m.now) - Date.now();
        this.version = m.version ?? '';
        this.wait = firstWait;
        this.set('live');
        for (const t of this.topics.values()) this.say({ op: 'subscribe', id: t.id, path: t.path });
        return;
      case 'snapshot':
        return this.withTopic(m, (t) => this.deliver(t, m.data, m.seq ?? 0));
      case 'delta':
        return this.withTopic(m, (t) => this.change(t, m));
      case 'error':
        if (m.problem) this.withTopic(m, (t) => this.fail(t, m.problem!));
        return;
      case 'bye':
        this.socket?.close();
    }
  }

  /** Scripts cannot see the server's pings: a question whose answer must come shows whether the connection still is one. */
  private alive(): void {
    if (this.watchdog) clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => {
      const [t] = this.topics.values();
      if (!t) return this.alive();
      this.say({ op: 'subscribe', id: t.id, path: t.path });
      this.watchdog = setTimeout(() => this.giveUp(), probeFor);
    }, silence);
  }

  private giveUp(): void {
    const dead = this.socket;
    this.lost();
    dead?.close();
  }

  private change(t: Topic, m: Message): void {
    if (t.seq === null || m.seq !== t.seq + 1 || t.data === undefined) {
      this.say({ op: 'subscribe', id: t.id, path: t.path }); // a gap: start over
      t.seq = null;
      return;
    }
    this.deliver(t, applyDelta(t.data as Metrics, m.data as MetricsDelta), m.seq);
  }

  private withTopic(m: Message, f: (t: Topic) => void): void {
    for (const t of this.topics.values()) if (t.id === m.id) return f(t);
  }

  private deliver(t: Topic, data: unknown, seq: number | null): void {
    t.seq = seq;
    t.data = data;
    for (const l of t.listeners) l.data(data);
  }

  private fail(t: Topic, p: Problem): void {
    for (const l of t.listeners) l.problem(p);
  }

  private say(m: unknown): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(m));
  }

  private set(c: Connection): void {
    if (c === this.connection) return;
    this.connection = c;
    this.onchange();
  }

  private schedulePoll(after: number): void {
    if (this.polled || this.stopped) return;
    this.polled = true;
    this.poll = setTimeout(() => void this.pollAll(), after);
  }

  private async pollAll(): Promise<void> {
    if (this.connection !== 'live') {
      const ok = await Promise.all([...this.topics.values()].map((t) => this.ask(t)));
      if ((this.connection as Connection) !== 'live' && ok.length > 0) this.set(ok.some(Boolean) ? 'polling' : 'offline');
    }
    this.polled = false;
    if (this.connection !== 'live') this.schedulePoll(pollEvery);
  }

  /** Reports whether the server answered, if only with a refusal. */
  private async ask(t: Topic): Promise<boolean> {
    try {
      const data = await get<unknown>(t.path);
      if (t.seq === null) this.deliver(t, data, null);
      return true;
    } catch (e) {
      const p = asProblem(e);
      this.fail(t, p);
      return p.code !== 'unreachable';
    }
  }
}
