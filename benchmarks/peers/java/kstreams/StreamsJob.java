import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.TimestampExtractor;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowBytesStoreSupplier;
import org.apache.kafka.streams.state.WindowStore;
import org.apache.kafka.streams.state.WindowStoreIterator;

/** The workloads as jobs of Kafka Streams, in one process. It runs until it is asked to end (SIGTERM). */
public final class StreamsJob {
    private static final Duration WINDOW = Duration.ofSeconds(10);
    private static final Duration WITHIN = Duration.ofMinutes(10);

    private final Args args;
    private final StreamsBuilder builder = new StreamsBuilder();

    private StreamsJob(Args args) {
        this.args = args;
    }

    public static void main(String[] argv) throws Exception {
        Args args = new Args(argv);
        StreamsJob job = new StreamsJob(args);
        switch (args.text("workload")) {
            case "W1" -> job.filter();
            case "W2" -> job.window(job.events(false, false).groupByKey(Grouped.with(Serdes.String(), SAMPLE)));
            case "W3" -> job.distinct();
            case "W4" -> job.window(job.events(false, false).groupBy((key, e) -> e.host, Grouped.with(Serdes.String(), SAMPLE)));
            case "W5" -> job.dedupe();
            case "W6" -> job.alert();
            default -> throw new IllegalArgumentException("no job for " + args.text("workload"));
        }
        Properties properties = properties(args);
        KafkaStreams streams = new KafkaStreams(job.builder.build(properties), properties);
        CountDownLatch ended = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            ended.countDown();
            return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofMinutes(1))));
        streams.start();
        ended.await();
        System.exit(1);
    }

    private static Properties properties(Args args) {
        Properties p = new Properties();
        p.put("application.id", args.text("group"));
        p.put("bootstrap.servers", args.text("brokers"));
        p.put("processing.guarantee", "exactly_once_v2");
        p.put("commit.interval.ms", args.text("checkpoint"));
        p.put("num.stream.threads", args.text("parallelism"));
        p.put("statestore.cache.max.bytes", args.text("cache"));
        p.put("state.dir", args.text("dir") + "/state");
        p.put("replication.factor", "1");
        p.put("topology.optimization", "all");
        p.put("consumer.auto.offset.reset", "earliest");
        p.put("consumer.max.partition.fetch.bytes", "4194304");
        p.put("consumer.max.poll.records", "5000");
        p.put("producer.transaction.timeout.ms", "600000");
        p.put("producer.compression.type", "lz4");
        p.put("producer.linger.ms", "20");
        p.put("producer.batch.size", "262144");
        return p;
    }

    private KStream<String, Sample> events(boolean labels, boolean attributes) {
        TimestampExtractor time = (record, partition) -> ((Sample) record.value()).time;
        return builder.stream(args.text("from"), Consumed.with(Serdes.String(), reader(labels, attributes)).withTimestampExtractor(time));
    }

    /** Events whose value is high, with four of their fields. */
    private void filter() {
        events(false, true).filter((key, e) -> e.value >= 900)
                .mapValues(e -> Rows.sample(e.time, e.host, e.region, e.value))
                .to(args.text("to"), Produced.with(Serdes.String(), Serdes.ByteArray()));
    }

    private void window(KGroupedStream<String, Sample> groups) {
        Duration lateness = Duration.ofMillis(args.number("lateness"));
        groups.windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, lateness))
                .aggregate(Folded::new, (host, e, f) -> f.add(e.value),
                        Materialized.<String, Folded>as(store("windows", WINDOW.plus(lateness), WINDOW))
                                .withKeySerde(Serdes.String()).withValueSerde(FOLDED).withCachingEnabled())
                .toStream((window, f) -> window)
                .map((window, f) -> new org.apache.kafka.streams.KeyValue<>(window.key(),
                        Rows.window(window.window().start(), window.key(), f.samples, f.total, f.least, f.most)))
                .to(args.text("to"), Produced.with(Serdes.String(), Serdes.ByteArray()));
    }

    /** Different hosts of each tenant in five minutes, every minute. The sketches in the record cache are updated in place. */
    private void distinct() {
        Duration lateness = Duration.ofMillis(args.number("lateness"));
        Duration size = Duration.ofMinutes(5);
        events(true, false).groupBy((key, e) -> e.tenant, Grouped.with(Serdes.String(), SAMPLE))
                .windowedBy(TimeWindows.ofSizeAndGrace(size, lateness).advanceBy(Duration.ofMinutes(1)))
                .aggregate(Sources::none, (tenant, e, sketch) -> Sources.add(sketch, e.host),
                        Materialized.<String, byte[]>as(store("windows", size.plus(lateness), size))
                                .withKeySerde(Serdes.String()).withValueSerde(Serdes.ByteArray()).withCachingEnabled())
                .toStream((window, sketch) -> window)
                .map((window, sketch) -> new org.apache.kafka.streams.KeyValue<>(window.key(),
                        Rows.sources(window.window().start(), window.key(), Sources.count(sketch))))
                .to(args.text("to"), Produced.with(Serdes.String(), Serdes.ByteArray()));
    }

    private void dedupe() {
        builder.addStateStore(Stores.windowStoreBuilder(store("seen", WITHIN.plusMillis(args.number("lateness")), WITHIN), Serdes.Bytes(),
                Serdes.ByteArray()));
        events(false, true).process(First::new, "seen").to(args.text("to"), Produced.with(Serdes.String(), Serdes.ByteArray()));
    }

    private void alert() {
        for (String name : new String[] {"windows", "live"}) {
            KeyValueBytesStoreSupplier store = args.text("state").equals("rocksdb") ? Stores.persistentKeyValueStore(name)
                    : Stores.inMemoryKeyValueStore(name);
            builder.addStateStore(Stores.keyValueStoreBuilder(store, Serdes.Bytes(), Serdes.ByteArray()).withCachingEnabled());
        }
        events(true, false).process(() -> new Judge(new Rules(args.text("rules")), args.number("disorder")), "windows", "live")
                .to(args.text("to"), Produced.with(Serdes.String(), Serdes.ByteArray()));
    }

    private WindowBytesStoreSupplier store(String name, Duration retention, Duration size) {
        return switch (args.text("state")) {
            case "memory" -> Stores.inMemoryWindowStore(name, retention, size, false);
            case "rocksdb" -> Stores.persistentWindowStore(name, retention, size, false);
            default -> throw new IllegalArgumentException("state=" + args.text("state") + ": there are memory and rocksdb");
        };
    }

    /** Lets the first of equal ids of ten minutes of event time pass. */
    private static final class First implements Processor<String, Sample, String, byte[]> {
        private static final byte[] YES = {1};

        private ProcessorContext<String, byte[]> context;
        private WindowStore<Bytes, byte[]> seen;

        @Override
        public void init(ProcessorContext<String, byte[]> context) {
            this.context = context;
            seen = context.getStateStore("seen");
        }

        @Override
        public void process(Record<String, Sample> record) {
            Sample e = record.value();
            ByteBuffer id = ByteBuffer.allocate(16).putLong(Long.parseUnsignedLong(e.id, 0, 16, 16))
                    .putLong(Long.parseUnsignedLong(e.id, 16, 32, 16));
            Bytes key = Bytes.wrap(id.array());
            try (WindowStoreIterator<byte[]> found = seen.fetch(key, e.time - WITHIN.toMillis(), e.time + WITHIN.toMillis())) {
                if (found.hasNext()) {
                    return;
                }
            }
            seen.put(key, YES, e.time);
            context.forward(record.withValue(Rows.id(e.time, e.host, e.id)));
        }
    }

    /**
     * Folds the windows of all series, and judges those that end when stream time, less the disorder, has passed the end, also series
     * without a sample while alerts live. A window's key is its end, a blank, host, blank and name: those that end together lie together.
     */
    private static final class Judge implements Processor<String, Sample, String, byte[]> {
        private static final Bytes JUDGED = Bytes.wrap(new byte[] {0});

        private final Rules rules;
        private final long disorder;
        private ProcessorContext<String, byte[]> context;
        private KeyValueStore<Bytes, byte[]> windows;
        private KeyValueStore<Bytes, byte[]> live; // by host, blank and name; under JUDGED the end of the last window that was judged

        Judge(Rules rules, long disorder) {
            this.rules = rules;
            this.disorder = disorder;
        }

        @Override
        public void init(ProcessorContext<String, byte[]> context) {
            this.context = context;
            windows = context.getStateStore("windows");
            live = context.getStateStore("live");
            context.schedule(Duration.ofMillis(Rules.WINDOW), PunctuationType.STREAM_TIME, this::judgeUpTo);
        }

        @Override
        public void process(Record<String, Sample> record) {
            Sample e = record.value();
            if (!rules.watch(e.name)) {
                return;
            }
            byte[] series = (e.host + ' ' + e.name).getBytes(StandardCharsets.UTF_8);
            Bytes key = Bytes.wrap(ByteBuffer.allocate(8 + series.length)
                    .putLong(e.time / Rules.WINDOW * Rules.WINDOW + Rules.WINDOW).put(series).array());
            byte[] before = windows.get(key);
            ByteBuffer f = before == null ? ByteBuffer.allocate(24) : ByteBuffer.wrap(before.clone());
            double most = before == null ? Double.NEGATIVE_INFINITY : f.getDouble(16);
            f.putLong(0, f.getLong(0) + 1).putDouble(8, f.getDouble(8) + e.value).putDouble(16, Math.max(most, e.value));
            windows.put(key, f.array());
        }

        private void judgeUpTo(long time) {
            byte[] text = live.get(JUDGED);
            // Before the first judgement nothing can have come that is older.
            long judged = text == null ? (time - disorder) / Rules.WINDOW * Rules.WINDOW : ByteBuffer.wrap(text).getLong();
            for (; judged + Rules.WINDOW <= time - disorder; judged += Rules.WINDOW) {
                judge(judged + Rules.WINDOW);
            }
            live.put(JUDGED, ByteBuffer.allocate(8).putLong(judged).array());
        }

        private void judge(long end) {
            Map<String, long[]> silent = new HashMap<>();
            try (KeyValueIterator<Bytes, byte[]> all = live.all()) {
                while (all.hasNext()) {
                    var entry = all.next();
                    if (!entry.key.equals(JUDGED)) {
                        long[] alerts = new long[entry.value.length / 8];
                        ByteBuffer.wrap(entry.value).asLongBuffer().get(alerts);
                        silent.put(new String(entry.key.get(), StandardCharsets.UTF_8), alerts);
                    }
                }
            }
            List<Bytes> done = new ArrayList<>();
            try (KeyValueIterator<Bytes, byte[]> ended = windows.range(at(end), at(end + 1))) {
                while (ended.hasNext()) {
                    var entry = ended.next();
                    done.add(entry.key);
                    ByteBuffer f = ByteBuffer.wrap(entry.value);
                    byte[] key = entry.key.get();
                    String series = new String(key, 8, key.length - 8, StandardCharsets.UTF_8);
                    judge(series, silent.remove(series), end, f.getLong(), f.getDouble(), f.getDouble());
                }
            }
            done.forEach(windows::delete);
            silent.forEach((series, alerts) -> judge(series, alerts, end, 0, 0, 0));
        }

        private static Bytes at(long end) {
            return Bytes.wrap(ByteBuffer.allocate(8).putLong(end).array());
        }

        private void judge(String series, long[] before, long end, long samples, double total, double most) {
            int blank = series.indexOf(' ');
            String host = series.substring(0, blank);
            String name = series.substring(blank + 1);
            long[] after = rules.judge(name, before == null ? Rules.NONE : before, end, samples, total, most, (rule, state) ->
                    context.forward(new Record<>(host, Rows.change(end, rule, host, name, state), end)));
            Bytes key = Bytes.wrap(series.getBytes(StandardCharsets.UTF_8));
            if (after.length > 0) {
                ByteBuffer b = ByteBuffer.allocate(8 * after.length);
                b.asLongBuffer().put(after);
                live.put(key, b.array());
            } else if (before != null) {
                live.delete(key);
            }
        }
    }

    /** Count, sum, lowest and highest of a window. */
    private static final class Folded {
        long samples;
        double total;
        double least = Double.POSITIVE_INFINITY;
        double most = Double.NEGATIVE_INFINITY;

        Folded add(double v) {
            samples++;
            total += v;
            least = Math.min(least, v);
            most = Math.max(most, v);
            return this;
        }
    }

    private static final Serde<Folded> FOLDED = Serdes.serdeFrom((topic, f) -> f == null ? null
            : ByteBuffer.allocate(32).putLong(f.samples).putDouble(f.total).putDouble(f.least).putDouble(f.most).array(), (topic, bytes) -> {
                if (bytes == null) {
                    return null;
                }
                ByteBuffer b = ByteBuffer.wrap(bytes);
                Folded f = new Folded();
                f.samples = b.getLong();
                f.total = b.getDouble();
                f.least = b.getDouble();
                f.most = b.getDouble();
                return f;
            });

    /** A sample on its way to the partition of its host: 16 bytes and the name. */
    private static final Serde<Sample> SAMPLE = Serdes.serdeFrom((topic, e) -> {
        byte[] host = e.host.getBytes(StandardCharsets.UTF_8);
        return ByteBuffer.allocate(16 + host.length).putLong(e.time).putDouble(e.value).put(host).array();
    }, (topic, bytes) -> {
        ByteBuffer b = ByteBuffer.wrap(bytes);
        Sample e = new Sample();
        e.time = b.getLong();
        e.value = b.getDouble();
        e.host = new String(bytes, 16, bytes.length - 16, StandardCharsets.UTF_8);
        return e;
    });

    private static Serde<Sample> reader(boolean labels, boolean attributes) {
        return Serdes.serdeFrom((topic, e) -> {
            throw new UnsupportedOperationException("events are only read");
        }, (topic, record) -> {
            try {
                Sample e = new Sample();
                e.read(record, labels, attributes);
                return e;
            } catch (IOException err) {
                throw new UncheckedIOException(err);
            }
        });
    }
}
