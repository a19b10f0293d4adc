"""Runs the SQL of this folder in DuckDB and prints what it gives as JSON lines.

usage: oracle.py PARAMETERS.json SCRIPT.sql... -- QUERY
"""
import json
import pathlib
import sys

import duckdb


def main() -> None:
    end = sys.argv.index("--")
    parameters = json.loads(pathlib.Path(sys.argv[1]).read_text())
    db = duckdb.connect()
    db.execute("SET threads = 2")
    for script in sys.argv[2:end]:
        db.execute(pathlib.Path(script).read_text().format(**parameters))
    cursor = db.execute(" ".join(sys.argv[end + 1:]).format(**parameters))
    names = [column[0] for column in cursor.description]
    while rows := cursor.fetchmany(10_000):
        for row in rows:
            print(json.dumps(dict(zip(names, row)), default=str))


main()
