"""Writes 3000 records with a producer that is not ours: python foreign.py BROKERS TOPIC CODEC."""
import sys

from confluent_kafka import Producer

brokers, topic, codec = sys.argv[1:]
p = Producer({"bootstrap.servers": brokers, "compression.type": codec, "linger.ms": 20, "transactional.id": topic})
p.init_transactions()
for part in range(3):
    p.begin_transaction()
    for i in range(1000):
        p.produce(topic, value="v%07d" % (part * 1000 + i), partition=0, headers={"h": b"x" * (i % 3)})
    p.flush()  # otherwise an abort takes back what was never sent
    if part == 1:
        p.abort_transaction()
    else:
        p.commit_transaction()
