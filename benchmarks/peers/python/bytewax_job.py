"""The workloads as dataflows of Bytewax. `python -m bytewax.run bytewax_job` runs one; its settings are in JOB, as JSON.

Rows go to files, which recovery cuts back to its snapshot: Bytewax writes to Kafka at least once only.
"""
import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import bytewax.operators as op
import bytewax.operators.windowing as win
import orjson
from bytewax.connectors.files import DirSink
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow

JOB = json.loads(os.environ["JOB"])
if JOB["workload"] == "W3":
    import datasketches  # which takes memory
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
WINDOW = timedelta(seconds=10)
WITHIN = 600_000  # ms


def at(milliseconds):
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


def filtered(messages):
    rows = []
    for message in messages:
        e = orjson.loads(message.value)
        if e["value"] >= 900:
            row = {"time": e["time"], "host": e["host"], "region": e["attributes"]["region"], "value": e["value"]}
            rows.append((e["host"], orjson.dumps(row).decode()))
    return rows


def samples(messages):
    out = []
    for message in messages:
        e = orjson.loads(message.value)
        out.append((e["host"], (e["time"], e["value"])))
    return out


def fold(folded, sample):
    v = sample[1]
    folded[0] += 1
    folded[1] += v
    if v < folded[2]:
        folded[2] = v
    if v > folded[3]:
        folded[3] = v
    return folded


def merge(a, b):
    return [a[0] + b[0], a[1] + b[1], min(a[2], b[2]), max(a[3], b[3])]


def window_row(item):
    host, (window, f) = item
    row = {"start": window * 10_000, "host": host, "samples": f[0], "total": f[1], "least": f[2], "most": f[3]}
    return host, orjson.dumps(row).decode()


class Sources:
    """How many different sources there are: a HyperLogLog sketch of 1,024 registers, as that of the Java jobs."""

    def __init__(self):
        self.sketch = datasketches.hll_sketch(10, datasketches.HLL_8)

    def __getstate__(self):
        return self.sketch.serialize_updatable()

    def __setstate__(self, state):
        self.sketch = datasketches.hll_sketch.deserialize(state)


def tenants(messages):
    out = []
    for message in messages:
        e = orjson.loads(message.value)
        out.append((e["tenant"], (e["time"], e["host"])))
    return out


def add_source(sources, sample):
    sources.sketch.update(sample[1])
    return sources


def merge_sources(a, b):
    union = datasketches.hll_union(10)
    union.update(a.sketch)
    union.update(b.sketch)
    a.sketch = union.get_result(datasketches.HLL_8)
    return a


def sources_row(item):
    tenant, (window, sources) = item
    row = {"start": window * 60_000, "tenant": tenant, "hosts": round(sources.sketch.get_estimate())}
    return tenant, orjson.dumps(row).decode()


def identified(messages):
    out = []
    for message in messages:
        e = orjson.loads(message.value)
        out.append((e["attributes"]["id"], (e["time"], e["host"])))
    return out


class First(op.StatefulLogic):
    """Lets the first of equal ids pass, and forgets it after ten minutes of the wall clock: there are no timers in event time."""

    def __init__(self, seen):
        self.seen = seen
        self.until = datetime.now(timezone.utc) + timedelta(milliseconds=WITHIN)

    def on_item(self, event):
        if self.seen is not None and abs(event[0] - self.seen) <= WITHIN:
            return (), op.StatefulLogic.RETAIN
        self.seen = event[0]
        return (event,), op.StatefulLogic.RETAIN

    def on_notify(self):
        return (), op.StatefulLogic.DISCARD

    def notify_at(self):
        return self.until

    def snapshot(self):
        return self.seen


def id_row(item):
    i, (time, host) = item
    return i, orjson.dumps({"time": time, "host": host, "id": i}).decode()


def event_clock():
    return win.EventClock(
        ts_getter=lambda sample: at(sample[0]),
        wait_for_system_duration=timedelta(milliseconds=JOB["wait"]),
        # A window of long ago is closed by events and by the end of the topic: asking the clock would never stop, and letting the
        # watermark go on with it would drop late events while a backlog is read.
        **({"to_system_utc": lambda _: None, "now_getter": lambda: EPOCH} if JOB["bounded"] else {}),
    )


def windowed(events):
    return win.fold_window(
        "fold", op.flat_map_batch("read", events, samples), event_clock(), win.TumblingWindower(length=WINDOW, align_to=EPOCH),
        builder=lambda: [0, 0.0, float("inf"), float("-inf")], folder=fold, merger=merge, ordered=False,
    ).down


def distinct(events):
    return win.fold_window(
        "distinct", op.flat_map_batch("read", events, tenants), event_clock(),
        win.SlidingWindower(length=timedelta(minutes=5), offset=timedelta(minutes=1), align_to=EPOCH),
        builder=Sources, folder=add_source, merger=merge_sources, ordered=False,
    ).down


def rows(events):
    workload = JOB["workload"]
    if workload == "W1":
        return op.flat_map_batch("filter", events, filtered)
    if workload in ("W2", "W4"):
        return op.map("row", windowed(events), window_row)
    if workload == "W3":
        return op.map("row", distinct(events), sources_row)
    if workload == "W5":
        first = op.stateful("first", op.flat_map_batch("read", events, identified), First)
        return op.map("row", first, id_row)
    raise ValueError(f"no job for {workload}")


flow = Dataflow("peer")
source = KafkaSource(
    [JOB["brokers"]], [JOB["from"]], tail=not JOB["bounded"], batch_size=5000,
    add_config={"max.partition.fetch.bytes": "4194304", "queued.min.messages": "100000"},
)
op.output("out", rows(op.input("in", flow, source)), DirSink(Path(JOB["rows"]), JOB["parallelism"]))
