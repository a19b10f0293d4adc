-- +goose Up

CREATE TABLE tidewatch_versions (
    instance   text PRIMARY KEY,
    seq        bigint GENERATED ALWAYS AS IDENTITY,
    pipeline   text NOT NULL,
    take       integer NOT NULL,
    file       text NOT NULL,
    body       text NOT NULL,
    since      bigint,
    applied_by text NOT NULL,
    applied_at timestamptz NOT NULL,
    ended_at   timestamptz
);
CREATE INDEX tidewatch_versions_pipeline ON tidewatch_versions (pipeline, seq);

COMMENT ON TABLE tidewatch_versions IS
'The versions of pipelines that were applied while they ran, and those that they followed. The newest of a pipeline is what
runs, whatever the workers'' files say; older ones run until they have ended.';
COMMENT ON COLUMN tidewatch_versions.instance IS 'Pipeline and version, as in tidewatch_tasks.';
COMMENT ON COLUMN tidewatch_versions.seq IS 'Order in which the versions of a pipeline followed each other.';
COMMENT ON COLUMN tidewatch_versions.pipeline IS 'Its name.';
COMMENT ON COLUMN tidewatch_versions.take IS 'How often the same text has been applied, this time included: part of the instance.';
COMMENT ON COLUMN tidewatch_versions.file IS 'Where the text was read, for people.';
COMMENT ON COLUMN tidewatch_versions.body IS 'The text of the file, which may hold other pipelines too.';
COMMENT ON COLUMN tidewatch_versions.since IS 'The cut: its windows start then or later, in nanoseconds since 1970. Null for a version that follows none.';
COMMENT ON COLUMN tidewatch_versions.applied_by IS 'Who.';
COMMENT ON COLUMN tidewatch_versions.applied_at IS 'Wall clock, for people.';
COMMENT ON COLUMN tidewatch_versions.ended_at IS 'When all its windows were final; null while it runs.';
