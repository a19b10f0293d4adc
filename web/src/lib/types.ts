// The API v2 as the page uses it; the source is serve/types_*.go and docs/reference/openapi.json.

export type Instant = string; // RFC 3339, UTC

export interface Column {
  name: string;
  function: 'count' | 'sum' | 'min' | 'max' | 'avg' | string;
  of?: string;
  unit: string;
}

export interface Output {
  pipeline: string;
  output: string;
  name: string;
  unit: string;
  family: string;
  type: string;
  window: string;
  keep: string;
  groups: string[];
  columns: Column[];
  step?: string;
  omitted?: { column: string; reason: string }[];
  complete_through?: Instant | null;
}

/** [epoch milliseconds of the bucket's start, value…] */
export type Point = [number, ...(number | null)[]];

export interface Series {
  name: string;
  unit: string;
  pipeline: string;
  output: string;
  labels: Record<string, string>;
  step: string;
  columns: string[];
  points: Point[];
}

export interface Metrics {
  from: Instant;
  to: Instant;
  step: string;
  complete_through: Instant | null;
  series: Series[];
  series_total: number;
  outputs: Output[];
}

export interface MetricsDelta extends Omit<Metrics, 'outputs'> {
  outputs: { pipeline: string; output: string; complete_through?: Instant | null }[];
}

export type Severity = 'info' | 'warning' | 'critical';
export type AlertState = 'inactive' | 'pending' | 'firing' | 'resolved';

export interface Evidence {
  topic: string;
  partition: number;
  offset: number;
  time: Instant;
}

export interface Acknowledgement {
  by: string;
  at: Instant;
  note: string;
}

export interface Alert {
  id: string;
  name: string;
  severity: Severity;
  state: AlertState;
  labels: Record<string, string> | null;
  summary: string;
  started_at: Instant;
  updated_at: Instant;
  value: number | null;
  pipeline: string;
  version: string;
  window: { start: Instant; end: Instant };
  complete_through?: Instant;
  revised: boolean;
  evidence: Evidence[] | null;
  acknowledged: Acknowledgement | null;
}

export interface Transition {
  id: string;
  at: Instant;
  from: AlertState;
  to: AlertState;
  value: number | null;
  provisional: boolean;
  revision: number;
}

export interface AlertDetail extends Alert {
  history: Transition[] | null;
}

export interface Page<T> {
  items: T[];
  next_cursor?: string;
}

export interface AlertCounts {
  firing: Record<Severity, number>;
  pending: Record<Severity, number>;
  acknowledged: number;
}

export interface Receipt {
  alert: string;
  acknowledged: Acknowledgement;
  command: { topic: string; partition: number; offset: number };
  applied: boolean;
}

export interface LogRecord {
  topic: string;
  partition: number;
  offset: number;
  timestamp: Instant;
  key: string | null;
  value: string;
  encoding: 'utf-8' | 'base64';
  size: number;
  headers: { key: string; value: string }[] | null;
}

export type Ledger = Record<string, number>;

export interface Task {
  stage: string;
  topic: string;
  partition: number;
  state: string;
  problem?: string;
  epoch: number;
  offset: number;
  lag: number | null;
  lag_seconds: number;
  watermark: Instant | null;
  ledger: Ledger;
  state_bytes: number;
  groups: number;
  snapshot_offset: number;
  snapshot_bytes: number;
  outputs?: Record<string, string>;
}

export interface Pipeline {
  name: string;
  about: string;
  instance: string;
  state: 'running' | 'starting' | 'failed' | 'idle' | string;
  problem?: string;
  lag: number | null;
  lag_seconds: number;
  watermark: Instant | null;
  complete_through: Instant | null;
  ledger: Ledger;
  ledger_diff: number;
  partitions: number;
  topics: string[];
  alerts: string[];
}

export interface GraphNode {
  id: string;
  kind: 'topic' | 'step' | 'output' | 'alerts' | 'archive' | string;
  label: string;
  stage?: string;
  detail?: string;
}

export interface Rule {
  name: string;
  when: string;
  for: string;
  keep_firing_for: string;
  severity: Severity;
  summary: string;
  labels: Record<string, string> | null;
}

export interface PipelineDetail extends Pipeline {
  file: string;
  source: string;
  time: { out_of_order: string; allowed_lateness: string };
  graph: { nodes: GraphNode[]; edges: { from: string; to: string }[] };
  rules: Rule[];
  outputs: Output[];
  tasks: Task[];
}

export interface LedgerRow {
  task: string;
  pipeline: string;
  stage: string;
  topic: string;
  partition: number;
  epoch: number;
  first: number;
  offset: number;
  ledger: Ledger;
  difference: number;
}

export interface LedgerAnswer {
  items: LedgerRow[];
  total: Ledger;
  difference: number;
}

export interface Handling {
  state: 'retried' | 'dropped';
  by: string;
  at: Instant;
  note?: string;
  sent_to?: string;
}

export interface Rejection {
  id: string;
  pipeline: string;
  reason: string;
  written: Instant;
  handled?: Handling;
}

export interface Letter {
  id: string;
  topic: string;
  partition: number;
  offset: number;
  timestamp: Instant;
  written: Instant;
  size: number;
  preview: string;
  state: 'open' | 'retried' | 'dropped';
  handled?: Handling;
  rejections: Rejection[];
}

export interface LetterDetail extends Letter {
  incarnation?: string;
  key: string | null;
  value: string;
  encoding: 'utf-8' | 'base64';
}

export interface LetterPage extends Page<Letter> {
  scanned: number;
  on_topic: number;
}

export interface Session {
  name: string;
  roles: string[];
  tokens_required: boolean;
}

export interface Problem {
  title: string;
  status: number;
  code: string;
  detail: string;
  errors?: { location: string; message: string }[];
  request_id?: string;
}
