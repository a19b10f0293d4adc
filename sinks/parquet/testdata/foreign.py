"""Reads the archive below a folder with DuckDB and pyarrow and prints what they see, one JSON line each.

usage: foreign.py FOLDER
Times are printed as nanoseconds since the epoch. DuckDB also writes the raw rows anew to FOLDER/rewritten.parquet.
"""

import json
import sys

import duckdb
import pyarrow.dataset as ds
import pyarrow.parquet as pq

folder = sys.argv[1]
raw = folder + "/raw/topic=*/date=*/hour=*/*.parquet"
rollups = folder + "/rollups/*/*/*/*/*.parquet"
provisional = folder + "/provisional/*/*/*/*/*.parquet"
controls = folder + "/controls/topic=*/instance=*/date=*/hour=*/*.parquet"


def show(what, rows):
    print(json.dumps({"what": what, "rows": rows}))


db = duckdb.connect()
db.execute("SET TimeZone = 'UTC'")
show("duckdb raw", db.execute(f"""
    SELECT _offset, epoch_ns(time), epoch_ns(_timestamp), _bytes, name, value, n, ok, host, service, attributes, epoch_ns(seen), _partition, topic, hour::VARCHAR
    FROM read_parquet('{raw}', hive_partitioning = true, hive_types_autocast = false) ORDER BY _offset""").fetchall())
show("duckdb nulls", db.execute(f"""
    SELECT count(*) - count(name), count(*) - count(value), count(*) - count(ok) FROM read_parquet('{raw}')""").fetchall())
show("duckdb filter", db.execute(f"""
    SELECT count(*) FROM read_parquet('{raw}') WHERE host = 'host-1' AND _offset > 100""").fetchall())
show("duckdb rollups", db.execute(f"""
    SELECT epoch_ns(window_start), epoch_ns(window_end), tenant, host, avg, samples, revision, provisional, _slot
    FROM read_parquet('{rollups}') ORDER BY ALL""").fetchall())
show("duckdb newest", db.execute(f"""
    SELECT epoch_ns(window_end), host, revision, provisional FROM read_parquet(['{rollups}', '{provisional}'])
    QUALIFY revision = max(revision) OVER (PARTITION BY window_start, window_end, tenant, host) ORDER BY ALL""").fetchall())
show("duckdb controls", db.execute(f"""
    SELECT _offset, _step, kind, epoch_ns(mark), instance FROM read_parquet('{controls}', hive_partitioning = true) ORDER BY _step""").fetchall())

table = ds.dataset(folder + "/raw", format="parquet", partitioning="hive").to_table().sort_by("_offset")
columns = ["_offset", "time", "_timestamp", "_bytes", "name", "value", "n", "ok", "host", "service", "attributes", "seen", "_partition", "topic"]
values = [
    (table[c].cast("int64") if str(table.schema.field(c).type).startswith("timestamp") else table[c]).to_pylist()
    for c in columns
]
show("pyarrow raw", [list(row) for row in zip(*values, [f"{h:02d}" for h in table["hour"].to_pylist()])])
show("pyarrow schema", [[f.name, str(f.type), f.nullable] for f in pq.read_schema(next(iter(ds.dataset(folder + "/raw", format="parquet").files)))])
first = pq.ParquetFile(sorted(ds.dataset(folder + "/raw", format="parquet").files)[0])
show("pyarrow metadata", [
    sorted([k.decode(), v.decode()] for k, v in first.metadata.metadata.items() if k.startswith(b"tidewatch.")),
    first.metadata.created_by,
    [str(first.metadata.row_group(0).column(i).statistics.has_min_max) for i in (0, 5)],
])
db.execute(f"""COPY (SELECT * EXCLUDE (topic, date, hour) FROM read_parquet('{raw}', hive_partitioning = true) ORDER BY _offset)
    TO '{folder}/rewritten.parquet' (FORMAT parquet, COMPRESSION snappy)""")
