-- +goose Up

ALTER TABLE tidewatch_tasks ADD COLUMN attempts integer NOT NULL DEFAULT 0;

COMMENT ON COLUMN tidewatch_tasks.attempts IS
'Owners in a row of which no end is known: 1 behind a claim, 0 behind the end of an owner whose process lives on.';

CREATE TABLE tidewatch_journal (
    task     text COLLATE "C" PRIMARY KEY,
    entry    text NOT NULL,
    begun_at timestamptz NOT NULL,
    beat_at  timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

COMMENT ON TABLE tidewatch_journal IS
'The tasks whose processes have died again and again: which of their records are in work, so that the one that takes processes
down is found. A task that was stopped for it stays here: delete its row to have it tried again.';
COMMENT ON COLUMN tidewatch_journal.task IS 'As in tidewatch_tasks.';
COMMENT ON COLUMN tidewatch_journal.entry IS 'Offsets in work, and what is known of the deaths so far, as JSON.';
COMMENT ON COLUMN tidewatch_journal.begun_at IS 'When the entry was written.';
COMMENT ON COLUMN tidewatch_journal.beat_at IS 'When the process was last seen to live.';

CREATE TABLE tidewatch_isolation (
    one   boolean PRIMARY KEY CHECK (one),
    task  text COLLATE "C" NOT NULL,
    owner text NOT NULL,
    until timestamptz NOT NULL
);

COMMENT ON TABLE tidewatch_isolation IS 'The one task of tidewatch_journal that may work now; none if there is no row.';
COMMENT ON COLUMN tidewatch_isolation.one IS 'True: there is one row at most.';
COMMENT ON COLUMN tidewatch_isolation.task IS 'As in tidewatch_tasks. A task that was taken over meanwhile is not isolated any more.';
COMMENT ON COLUMN tidewatch_isolation.owner IS 'As in tidewatch_tasks.';
COMMENT ON COLUMN tidewatch_isolation.until IS 'Another task may work then, if this one has not asked again.';
