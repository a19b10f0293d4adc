-- +goose Up

-- +goose StatementBegin
CREATE FUNCTION tidewatch_timeline() RETURNS bigint
LANGUAGE sql STABLE
RETURN (
    SELECT ((((system_identifier >> 32) # system_identifier) & 2097151) << 32)
           | ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint
    FROM pg_control_system()
);
-- +goose StatementEnd

COMMENT ON FUNCTION tidewatch_timeline() IS
'The history that this server writes: its WAL timeline (low 32 bits), which every promotion raises, and 21 bits of the
cluster''s identifier, so that a restored dump differs too. Fails on a standby. A managed service without WAL functions may
replace it by a constant, if its fail-over never loses a commit.';

CREATE TABLE tidewatch_tasks (
    task        text COLLATE "C" PRIMARY KEY,
    instance    text NOT NULL,
    stage       text NOT NULL,
    topic       text NOT NULL,
    incarnation text NOT NULL,
    partition   integer NOT NULL,
    epoch       bigint NOT NULL,
    owner       text NOT NULL,
    timeline    bigint NOT NULL,
    record      bytea NOT NULL,
    taken_at    timestamptz NOT NULL,
    claimed_at  timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

COMMENT ON TABLE tidewatch_tasks IS
'One row for each task: the truth about how far it has got. A task goes on by replacing the row whose epoch is one lower.
Never change or delete a row while its pipeline runs.';
COMMENT ON COLUMN tidewatch_tasks.task IS 'Key: instance/stage/topic.incarnation/partition.';
COMMENT ON COLUMN tidewatch_tasks.instance IS 'Pipeline and version.';
COMMENT ON COLUMN tidewatch_tasks.stage IS 'Stage of the pipeline.';
COMMENT ON COLUMN tidewatch_tasks.topic IS 'Topic that the task reads.';
COMMENT ON COLUMN tidewatch_tasks.incarnation IS 'Id of the topic: a topic that was created again has another one.';
COMMENT ON COLUMN tidewatch_tasks.partition IS 'Partition that the task reads.';
COMMENT ON COLUMN tidewatch_tasks.epoch IS 'Number of claims so far.';
COMMENT ON COLUMN tidewatch_tasks.owner IS 'Who may claim: drawn anew at every take-over.';
COMMENT ON COLUMN tidewatch_tasks.timeline IS 'tidewatch_timeline() at the take-over: claims on another one are refused.';
COMMENT ON COLUMN tidewatch_tasks.record IS
'Offset, ledger, snapshot and staged files, as JSON. To read it: convert_from(record, ''UTF8'')::jsonb. Bytes, because
equal bytes mean the same claim.';
COMMENT ON COLUMN tidewatch_tasks.taken_at IS 'Wall clock of the last take-over, for people.';
COMMENT ON COLUMN tidewatch_tasks.claimed_at IS 'Wall clock of the last claim, for people.';
