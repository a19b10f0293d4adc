-- +goose Up

CREATE TABLE tidewatch_keys (
    task text COLLATE "C" PRIMARY KEY,
    keys bytea NOT NULL
);

COMMENT ON TABLE tidewatch_keys IS
'What the tasks of keyed sources have seen: a sample of their keys, which tells whether a key is in two partitions.';
COMMENT ON COLUMN tidewatch_keys.task IS 'As in tidewatch_tasks.';
COMMENT ON COLUMN tidewatch_keys.keys IS 'Hash, offset and text of each key, as JSON.';
