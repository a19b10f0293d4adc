-- +goose Up

CREATE TABLE tidewatch_transitions (
    id         text COLLATE "C" PRIMARY KEY,
    alert      text COLLATE "C" NOT NULL,
    at         bigint NOT NULL,
    revision   integer NOT NULL,
    body       json NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX tidewatch_transitions_alert ON tidewatch_transitions (alert, at, revision);

COMMENT ON TABLE tidewatch_transitions IS
'The history of alerts: every change of state, and every revision of a window that an alert was judged on.';
COMMENT ON COLUMN tidewatch_transitions.id IS 'Rule, group, event time, state and revision: a repeat has the same id and changes nothing.';
COMMENT ON COLUMN tidewatch_transitions.alert IS 'Id of the alert: one firing episode.';
COMMENT ON COLUMN tidewatch_transitions.at IS 'Event time of the change, in nanoseconds since 1970.';
COMMENT ON COLUMN tidewatch_transitions.revision IS 'Number of revisions before; (at, revision) grows with every transition of an alert.';
COMMENT ON COLUMN tidewatch_transitions.body IS 'The transition as it was decided, with the whole alert after it.';
COMMENT ON COLUMN tidewatch_transitions.created_at IS 'Wall clock of the insertion, for people.';

CREATE TABLE tidewatch_alerts (
    id         text COLLATE "C" PRIMARY KEY,
    transition text COLLATE "C" NOT NULL,
    at         bigint NOT NULL,
    revision   integer NOT NULL,
    name       text NOT NULL,
    pipeline   text NOT NULL,
    severity   text NOT NULL,
    state      text NOT NULL,
    started_at bigint NOT NULL,
    summary    text NOT NULL,
    labels     jsonb NOT NULL
);
CREATE INDEX tidewatch_alerts_list ON tidewatch_alerts (started_at DESC, id DESC);
CREATE INDEX tidewatch_alerts_active ON tidewatch_alerts (started_at DESC, id DESC) WHERE state IN ('pending', 'firing');
CREATE INDEX tidewatch_alerts_labels ON tidewatch_alerts USING gin (labels jsonb_path_ops);

COMMENT ON TABLE tidewatch_alerts IS 'The alerts as they are now: what a list searches, with a pointer to the newest transition.';
COMMENT ON COLUMN tidewatch_alerts.id IS 'Id of the alert: one firing episode.';
COMMENT ON COLUMN tidewatch_alerts.transition IS 'Id of the newest transition by (at, revision): its body holds the alert.';
COMMENT ON COLUMN tidewatch_alerts.at IS 'Of that transition.';
COMMENT ON COLUMN tidewatch_alerts.revision IS 'Of that transition.';
COMMENT ON COLUMN tidewatch_alerts.name IS 'Rule.';
COMMENT ON COLUMN tidewatch_alerts.pipeline IS 'Pipeline.';
COMMENT ON COLUMN tidewatch_alerts.severity IS 'info, warning or critical.';
COMMENT ON COLUMN tidewatch_alerts.state IS 'inactive, pending, firing or resolved.';
COMMENT ON COLUMN tidewatch_alerts.started_at IS 'Event time of the start, in nanoseconds since 1970.';
COMMENT ON COLUMN tidewatch_alerts.summary IS 'Text for people; the character NUL is replaced, which text cannot hold.';
COMMENT ON COLUMN tidewatch_alerts.labels IS 'Labels for searching; the character NUL is replaced.';

CREATE TABLE tidewatch_acknowledgements (
    alert      text COLLATE "C" PRIMARY KEY,
    at         bigint NOT NULL,
    log_offset bigint NOT NULL,
    by         text NOT NULL,
    note       text NOT NULL
);

COMMENT ON TABLE tidewatch_acknowledgements IS
'Who has taken an alert on: the newest command on tidewatch.commands by (at, log_offset). The alert may not be known yet.';
COMMENT ON COLUMN tidewatch_acknowledgements.alert IS 'Id of the alert.';
COMMENT ON COLUMN tidewatch_acknowledgements.at IS 'Time of the command, in nanoseconds since 1970.';
COMMENT ON COLUMN tidewatch_acknowledgements.log_offset IS 'Offset of the command on its topic.';
COMMENT ON COLUMN tidewatch_acknowledgements.by IS 'Who.';
COMMENT ON COLUMN tidewatch_acknowledgements.note IS 'What they had to say.';

CREATE TABLE tidewatch_outbox (
    id         text COLLATE "C" PRIMARY KEY,
    seq        bigint GENERATED ALWAYS AS IDENTITY,
    created_at timestamptz NOT NULL,
    sent_at    timestamptz
);
CREATE INDEX tidewatch_outbox_pending ON tidewatch_outbox (seq) WHERE sent_at IS NULL;

COMMENT ON TABLE tidewatch_outbox IS
'Notifications: one row for each transition that somebody has to be told about, written with the transition and only once.';
COMMENT ON COLUMN tidewatch_outbox.id IS 'Id of the transition. It goes out with the notification, so that a receiver can drop a repeat.';
COMMENT ON COLUMN tidewatch_outbox.seq IS 'Order of insertion, roughly: a later transaction may commit first.';
COMMENT ON COLUMN tidewatch_outbox.created_at IS 'Wall clock of the insertion.';
COMMENT ON COLUMN tidewatch_outbox.sent_at IS 'Wall clock of the delivery; null while it is to be done.';

CREATE VIEW tidewatch_alert_list AS
SELECT a.id, a.name, a.pipeline, a.severity, a.state, a.labels,
       to_timestamp(a.started_at / 1e9) AS started_at,
       to_timestamp(a.at / 1e9) AS updated_at,
       a.summary,
       k.by                     AS acknowledged_by,
       to_timestamp(k.at / 1e9) AS acknowledged_at
FROM tidewatch_alerts a
LEFT JOIN tidewatch_acknowledgements k ON k.alert = a.id;

COMMENT ON VIEW tidewatch_alert_list IS 'Alerts for people and dashboards.';
