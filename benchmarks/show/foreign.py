"""Writes metric events the way other people's programs do: librdkafka, all its codecs, JSON of any shape, transactions.

usage: foreign.py BROKERS TOPIC PARTITIONS EVENTS SEED FOLDER

FOLDER gets expected.jsonl (the events that count, plainly written, in the order of the log: event i is in partition
i mod PARTITIONS), dead.jsonl (the records that must be rejected, with partition, offset, code and bytes), and
summary.json.
"""
import base64
import decimal
import json
import pathlib
import random
import sys
import time

from confluent_kafka import Producer

decimal.getcontext().prec = 2000  # every digit that a float can have
CODECS = ["lz4", "zstd", "gzip", "snappy", "none"]
# The last one ends in half a surrogate pair, which can only be written as an escape and is read as U+FFFD.
NAMES = ["web-1", "überhost", "日本-2", "emoji-😀-🚀", 'quote"back\\slash', "comma,host", "tab\thost", "e\u0301-combined", "nul-like\u0001",
         "\u2028separator", "</script>", "{\"host\":\"nested\"}", "lone-\ud83d"]


def escaped(text, r, share):
    """Text as a JSON string, every character raw, escaped shortly or as \\u with small or capital digits."""
    out = ['"']
    for c in text:
        n = ord(c)
        if n < 0x20 or 0xD800 <= n < 0xE000 or r.random() < share:
            units = c.encode("utf-16-be", "surrogatepass")
            form = r.choice(["%04x", "%04X"])
            out += ["\\u" + form % int.from_bytes(units[i:i + 2], "big") for i in range(0, len(units), 2)]
        elif c in '"\\':
            out.append("\\" + c)
        elif c == "/" and r.random() < 0.5:
            out.append("\\/")
        else:
            out.append(c)
    return "".join(out) + '"'


def number(value, r):
    """A float in one of the ways to write it; each reads back as the same float."""
    if value == 0:
        return r.choice(["0", "0.0", "-0", "0e5", "0E-7"])
    exact = decimal.Decimal(value)
    form = r.randrange(5)
    if form == 1:
        return "%.17e" % value
    if form == 2:
        return ("%.17E" % value).replace("E+", "E")
    if form == 3 and abs(value) < 1e9:
        return format(exact, "f") + ("" if exact == exact.to_integral_value() else "000")  # every digit it has
    if form == 4:
        shift = r.randrange(-30, 31)
        return format(exact.scaleb(shift), "f") + "e" + str(-shift)
    return repr(value)


def instant(ms, r):
    """A time in milliseconds in one of the ways to write it."""
    form = r.randrange(7)
    if form == 0:
        return str(ms * 1000)
    if form == 1:
        return str(ms * 1_000_000)
    if form == 2:
        return "%d.%03d" % divmod(ms, 1000)
    if form == 3:
        return format(decimal.Decimal(ms).scaleb(-12), "f") + "e12"
    if form in (4, 5):
        zone = r.choice([0, 60, 330, -480])
        local = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000 + zone * 60))
        suffix = "Z" if zone == 0 else "%s%02d:%02d" % ("+" if zone > 0 else "-", *divmod(abs(zone), 60))
        return '"%s.%03d%s"' % (local, ms % 1000, suffix)
    return str(ms)


def junk(r):
    """A value that nobody asked for; some look like fields."""
    return r.choice(["null", "true", "[]", "{}", "-0.0", "1E400", "123456789012345678901234567890", '"\\"host\\":\\"x\\""',
                     '{"host":"inner","value":1e9,"time":0}', '[{"host":["deep",{"value":[1,2,{"time":3}]}]}]', '"\\ud83d\\ude00"'])


def event(ms, host, value, r):
    """A record that means (ms, host, value), written in a way of its own."""
    share = r.choice([0, 0, 0.1, 1])
    real = [("time", instant(ms, r)), ("name", escaped("http.server.duration", r, share)), ("host", escaped(host, r, share)), ("value", number(value, r))]
    optional = {"kind": '"gauge"', "unit": '"ms"', "tenant": '"t7"', "service": "null", "attributes": '{"region":"eu","host":"no","value":7}'}
    pairs = real + [p for p in optional.items() if r.random() < 0.5]
    pairs += [(r.choice(["zone", "Host", "values", "ti\u006de2", "", "host ", "日本"]), junk(r)) for _ in range(r.randrange(3))]
    r.shuffle(pairs)
    decoys = [(name, {"time": str(ms - 7_200_000), "name": '"decoy"', "host": '"decoy"', "value": "-1"}[name])
              for name in ("time", "name", "host", "value") if r.random() < 0.15]
    decoys += [(r.choice(["host", "value"]), r.choice(["null", "[]", "true"]))] if r.random() < 0.05 else []  # even of another type
    pairs = decoys + pairs  # the last one counts
    space = (lambda: "") if r.random() < 0.6 else (lambda: r.choice(["", " ", "\n", "\t", "\r\n", "    "]))
    members = [space() + escaped(k, r, share / 2) + space() + ":" + space() + v + space() for k, v in pairs]
    return (space() + "{" + ",".join(members) + "}" + space()).encode()


def invalid(ms):
    """Records that are no events, and the code that each must be rejected with."""
    good = '{"time":%d,"name":"n","host":"h","value":1' % ms
    return [
        (good.encode(), "invalid_json"), ((good + ",}").encode(), "invalid_json"), ((good + "} x").encode(), "invalid_json"),
        (b"\xef\xbb\xbf" + (good + "}").encode(), "invalid_json"), (good.replace('"', "'").encode() + b"}", "invalid_json"),
        ((good[:-1] + "01}").encode(), "invalid_json"), ((good[:-1] + "NaN}").encode(), "invalid_json"),
        (b"", "invalid_json"), (None, "invalid_json"), (b"\x00\x01\x02", "invalid_json"),
        (('{"time":%d,"name":"n","host":"h"}' % ms).encode(), "missing_field"), ((good + ',"value":null}').encode(), "missing_field"),
        (('{"name":"n","host":"h","value":1}').encode(), "missing_field"),
        ((good + ',"value":"12"}').encode(), "wrong_type"), ((good + ',"host":7}').encode(), "wrong_type"), ((good + ',"value":1e999}').encode(), "wrong_type"),
        ((good + ',"time":915148800000}').encode(), "time_too_old"), ((good + ',"time":%d}' % (ms + 3 * 86_400_000)).encode(), "time_in_future"),
        ((good + ',"time":"yesterday"}').encode(), "invalid_time"),
    ]


class World:
    """What happens, in the order of the log: each flush ends before another producer writes to the same partitions."""

    def __init__(self, brokers, topic, partitions, events, seed, folder):
        self.r = random.Random(seed)
        self.topic, self.partitions, self.events, self.folder = topic, partitions, events, pathlib.Path(folder)
        common = {"bootstrap.servers": brokers, "enable.idempotence": True}
        self.producers = [Producer({**common, "compression.type": c, "linger.ms": 20, "batch.num.messages": n})
                          for c, n in zip(CODECS, [10_000, 137, 1, 1000, 50])]
        self.committed = Producer({**common, "compression.type": "zstd", "transactional.id": "foreign-committed"})
        self.aborted = Producer({**common, "compression.type": "lz4", "transactional.id": "foreign-aborted"})
        self.start = (int(time.time()) - 3600) * 1000
        self.invalid = invalid(self.start)
        self.hosts = [f"{n}{i}" if i else n for i in range(12) for n in NAMES]
        self.expected, self.dead, self.markers, self.dropped, self.n = [], [], 0, 0, 0

    def send(self, producer, value, partition, note=None):
        r = self.r
        key = r.choice([None, None, b"", b"key", bytes(r.randrange(256) for _ in range(6))])
        headers = r.choice([None, None, [("trace", b"\x00\xff"), ("empty", None)]])

        def delivered(err, message):
            if err is not None:
                sys.exit("produce: %s" % err)
            if note is not None:
                self.dead.append({"partition": partition, "offset": message.offset(), "code": note, "raw": base64.b64encode(value or b"").decode()})
        producer.produce(self.topic, value, key, partition, headers=headers, on_delivery=delivered)
        producer.poll(0)

    def draw(self):
        """The next event: mostly in order, some late, a few beyond the lateness, a few hosts slow for a while."""
        r = self.r
        ms = self.start + self.n * 300_000 // self.events + r.randrange(1500)
        late = r.random()
        ms -= 90_000 if late < 0.003 else 20_000 if late < 0.03 else 0
        host = r.choice(self.hosts)
        slow = self.hosts[(ms - self.start) // 60_000 % len(self.hosts)]
        if r.random() < 0.02:
            host = slow
        value = r.choice([r.random() * 900, float(r.randrange(900)), r.random() * 1e-300, 5e-324, 0.0, -r.random()])
        if host == slow:
            value = 991.0 + r.random() * 8
        elif host == self.hosts[-1]:
            value = r.choice([1.7e300, 1e22, 123456789012345680.0, 2.0 ** 53])
        return ms, host, value

    def real(self, producer):
        ms, host, value = self.draw()
        self.send(producer, event(ms, host, value, self.r), self.n % self.partitions)
        self.expected.append({"time": ms, "host": host.replace("\ud83d", "\ufffd") if host.startswith("lone") else host, "value": value})
        self.n += 1

    def batch(self, producer):
        for _ in range(min(self.r.choice([1, 20, 300, 900]), self.events - self.n)):
            self.real(producer)
            if self.n % (self.events // 40 + 1) == 0:  # each kind twice
                value, code = self.invalid[self.n // (self.events // 40 + 1) % len(self.invalid)]
                self.send(producer, value, self.r.randrange(self.partitions), code)
        producer.flush()

    def bogus(self, count):
        """Records of the transaction that will be aborted: good ones and bad ones, none may be seen."""
        for i in range(count):
            value = event(self.start + 600_000, "aborted", 5000.0, self.r) if i % 10 else b"{aborted"
            self.send(self.aborted, value, i % self.partitions)
        self.aborted.flush()
        self.dropped += count

    def run(self):
        for p in (self.committed, self.aborted):
            p.init_transactions()
        thirds = [self.events // 3, 2 * self.events // 3]
        turn = 0
        while self.n < self.events:
            self.batch(self.producers[turn % len(self.producers)])
            turn += 1
            if thirds and self.n >= thirds[0]:
                thirds.pop(0)
                self.transactions()
        for p in self.producers:
            p.flush()
        self.write()

    def transactions(self):
        """One that commits and one that aborts, open at the same time, between records of others."""
        self.committed.begin_transaction()
        self.aborted.begin_transaction()
        self.bogus(99)
        for _ in range(min(150, self.events - self.n)):
            self.real(self.committed)
        self.committed.flush()
        self.batch(self.producers[self.r.randrange(len(self.producers))])
        self.bogus(201)
        self.aborted.abort_transaction()
        self.committed.commit_transaction()
        self.markers += 2 * self.partitions

    def write(self):
        with open(self.folder / "expected.jsonl", "w") as f:
            f.writelines(json.dumps(e, ensure_ascii=False) + "\n" for e in self.expected)
        with open(self.folder / "dead.jsonl", "w") as f:
            f.writelines(json.dumps(d) + "\n" for d in self.dead)
        (self.folder / "summary.json").write_text(json.dumps({"events": self.n, "aborted": self.dropped, "markers": self.markers}))


World(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]), sys.argv[6]).run()
