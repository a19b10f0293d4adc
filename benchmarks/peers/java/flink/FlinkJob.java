import java.nio.charset.StandardCharsets;
import java.time.Duration;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.api.java.tuple.Tuple4;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.KafkaSourceBuilder;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.SlidingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/** The workloads as jobs of Flink's DataStream API, in one process. */
public final class FlinkJob {
    private static final TypeInformation<byte[]> BYTES = PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO;
    private static final TypeInformation<Tuple2<byte[], byte[]>> ROW = Types.TUPLE(BYTES, BYTES);

    private final Args args;
    private final StreamExecutionEnvironment env;

    private FlinkJob(Args args) {
        this.args = args;
        this.env = StreamExecutionEnvironment.createLocalEnvironment((int) args.number("parallelism"), configuration(args));
    }

    public static void main(String[] argv) throws Exception {
        Args args = new Args(argv);
        FlinkJob job = new FlinkJob(args);
        String workload = args.text("workload");
        DataStream<Tuple2<byte[], byte[]>> rows = switch (workload) {
            case "W1" -> job.filter();
            case "W2", "W4", "W8" -> job.window();
            case "W3" -> job.distinct();
            case "W5" -> job.dedupe();
            case "W6" -> job.alert();
            default -> throw new IllegalArgumentException("no job for " + workload);
        };
        rows.sinkTo(job.sink());
        job.env.execute(workload);
    }

    private static Configuration configuration(Args args) {
        String dir = args.text("dir");
        Configuration c = new Configuration();
        c.setString("execution.checkpointing.interval", args.number("checkpoint") + " ms");
        c.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
        c.setString("execution.checkpointing.storage", "filesystem");
        c.setString("execution.checkpointing.dir", "file://" + dir + "/checkpoints");
        c.setString("execution.checkpointing.incremental", "true");
        c.setString("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
        if (!args.text("restore").isEmpty()) {
            c.setString("execution.state-recovery.path", "file://" + args.text("restore"));
            c.setString("execution.state-recovery.claim-mode", "CLAIM");
        }
        c.setString("state.backend.type", args.text("state"));
        c.setString("state.backend.rocksdb.localdir", dir + "/rocksdb");
        c.setString("pipeline.object-reuse", "true");
        c.setString("pipeline.generic-types", "false");
        c.setString("taskmanager.memory.managed.size", args.text("managed"));
        c.setString("taskmanager.memory.network.min", "128m");
        c.setString("taskmanager.memory.network.max", "128m");
        c.setString("io.tmp.dirs", dir);
        return c;
    }

    /** Events whose value is high, with four of their fields. */
    private DataStream<Tuple2<byte[], byte[]>> filter() {
        return from(new Filter(), ROW, WatermarkStrategy.noWatermarks());
    }

    private DataStream<Tuple2<byte[], byte[]>> window() {
        WatermarkStrategy<Tuple3<String, Double, Long>> marks =
                WatermarkStrategy.<Tuple3<String, Double, Long>>forBoundedOutOfOrderness(Duration.ofMillis(args.number("disorder")))
                        .withTimestampAssigner((e, broker) -> e.f2);
        return from(new Samples(), Types.TUPLE(Types.STRING, Types.DOUBLE, Types.LONG), marks)
                .keyBy(e -> e.f0, Types.STRING)
                .window(TumblingEventTimeWindows.of(Duration.ofSeconds(10)))
                .allowedLateness(Duration.ofMillis(args.number("lateness")))
                .aggregate(new Fold(), new Emit(), Types.POJO(Folded.class), Types.POJO(Folded.class), ROW);
    }

    private DataStream<Tuple2<byte[], byte[]>> distinct() {
        WatermarkStrategy<Tuple3<String, String, Long>> marks =
                WatermarkStrategy.<Tuple3<String, String, Long>>forBoundedOutOfOrderness(Duration.ofMillis(args.number("disorder")))
                        .withTimestampAssigner((e, broker) -> e.f2);
        return from(new Tenants(), Types.TUPLE(Types.STRING, Types.STRING, Types.LONG), marks)
                .keyBy(e -> e.f0, Types.STRING)
                .window(SlidingEventTimeWindows.of(Duration.ofMinutes(5), Duration.ofMinutes(1)))
                .allowedLateness(Duration.ofMillis(args.number("lateness")))
                .aggregate(new Distinct(), new EmitDistinct(), BYTES, BYTES, ROW);
    }

    private DataStream<Tuple2<byte[], byte[]>> dedupe() {
        WatermarkStrategy<Tuple4<Long, Long, Long, String>> marks =
                WatermarkStrategy.<Tuple4<Long, Long, Long, String>>forBoundedOutOfOrderness(Duration.ofMillis(args.number("disorder")))
                        .withTimestampAssigner((e, broker) -> e.f2);
        return from(new Ids(), Types.TUPLE(Types.LONG, Types.LONG, Types.LONG, Types.STRING), marks)
                .keyBy(e -> Tuple2.of(e.f0, e.f1), Types.TUPLE(Types.LONG, Types.LONG))
                .process(new First(), ROW);
    }

    private DataStream<Tuple2<byte[], byte[]>> alert() {
        WatermarkStrategy<Tuple4<String, String, Double, Long>> marks =
                WatermarkStrategy.<Tuple4<String, String, Double, Long>>forBoundedOutOfOrderness(Duration.ofMillis(args.number("disorder")))
                        .withTimestampAssigner((e, broker) -> e.f3);
        return from(new Series(), Types.TUPLE(Types.STRING, Types.STRING, Types.DOUBLE, Types.LONG), marks)
                .keyBy(e -> Tuple2.of(e.f0, e.f1), Types.TUPLE(Types.STRING, Types.STRING))
                .process(new Judge(args.text("rules")), ROW);
    }

    private <T> DataStream<T> from(Reader<T> reader, TypeInformation<T> type, WatermarkStrategy<T> marks) {
        reader.type = type;
        KafkaSourceBuilder<T> source = KafkaSource.<T>builder()
                .setBootstrapServers(args.text("brokers"))
                .setTopics(args.text("from"))
                .setGroupId(args.text("group"))
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setDeserializer(reader)
                .setProperty("max.partition.fetch.bytes", "4194304")
                .setProperty("max.poll.records", "5000");
        if (args.yes("bounded")) {
            source.setBounded(OffsetsInitializer.latest());
        }
        return env.fromSource(source.build(), marks, "events", type);
    }

    private KafkaSink<Tuple2<byte[], byte[]>> sink() {
        return KafkaSink.<Tuple2<byte[], byte[]>>builder()
                .setBootstrapServers(args.text("brokers"))
                .setRecordSerializer(new Writer(args.text("to")))
                .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                .setTransactionalIdPrefix(args.text("to"))
                .setProperty("transaction.timeout.ms", "600000")
                .setProperty("compression.type", "lz4")
                .setProperty("linger.ms", "20")
                .setProperty("batch.size", "262144")
                .build();
    }

    /** Makes something of each record. What it hands on is the same object again and again: nobody keeps it. */
    private abstract static class Reader<T> implements KafkaRecordDeserializationSchema<T> {
        TypeInformation<T> type;

        @Override
        public TypeInformation<T> getProducedType() {
            return type;
        }
    }

    private static final class Filter extends Reader<Tuple2<byte[], byte[]>> {
        private transient Sample sample;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Tuple2<byte[], byte[]>> out) throws java.io.IOException {
            if (sample == null) {
                sample = new Sample();
            }
            sample.read(record.value(), false, true);
            if (sample.value >= 900) {
                out.collect(Tuple2.of(record.key(), Rows.sample(sample.time, sample.host, sample.region, sample.value)));
            }
        }
    }

    private static final class Samples extends Reader<Tuple3<String, Double, Long>> {
        private transient Sample sample;
        private transient Tuple3<String, Double, Long> event;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Tuple3<String, Double, Long>> out)
                throws java.io.IOException {
            if (sample == null) {
                sample = new Sample();
                event = new Tuple3<>();
            }
            sample.read(record.value(), false, false);
            event.setFields(sample.host, sample.value, sample.time);
            out.collect(event);
        }
    }

    private static final class Tenants extends Reader<Tuple3<String, String, Long>> {
        private transient Sample sample;
        private transient Tuple3<String, String, Long> event;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Tuple3<String, String, Long>> out)
                throws java.io.IOException {
            if (sample == null) {
                sample = new Sample();
                event = new Tuple3<>();
            }
            sample.read(record.value(), true, false);
            event.setFields(sample.tenant, sample.host, sample.time);
            out.collect(event);
        }
    }

    private static final class Series extends Reader<Tuple4<String, String, Double, Long>> {
        private transient Sample sample;
        private transient Tuple4<String, String, Double, Long> event;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Tuple4<String, String, Double, Long>> out)
                throws java.io.IOException {
            if (sample == null) {
                sample = new Sample();
                event = new Tuple4<>();
            }
            sample.read(record.value(), true, false);
            event.setFields(sample.host, sample.name, sample.value, sample.time);
            out.collect(event);
        }
    }

    private static final class Ids extends Reader<Tuple4<Long, Long, Long, String>> {
        private transient Sample sample;
        private transient Tuple4<Long, Long, Long, String> event;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Tuple4<Long, Long, Long, String>> out)
                throws java.io.IOException {
            if (sample == null) {
                sample = new Sample();
                event = new Tuple4<>();
            }
            sample.read(record.value(), false, true);
            event.setFields(Long.parseUnsignedLong(sample.id, 0, 16, 16), Long.parseUnsignedLong(sample.id, 16, 32, 16), sample.time,
                    sample.host);
            out.collect(event);
        }
    }

    /** Count, sum, lowest and highest of a window. */
    public static final class Folded {
        public long samples;
        public double total;
        public double least = Double.POSITIVE_INFINITY;
        public double most = Double.NEGATIVE_INFINITY;
    }

    private static final class Fold implements AggregateFunction<Tuple3<String, Double, Long>, Folded, Folded> {
        @Override
        public Folded createAccumulator() {
            return new Folded();
        }

        @Override
        public Folded add(Tuple3<String, Double, Long> e, Folded f) {
            double v = e.f1;
            f.samples++;
            f.total += v;
            f.least = Math.min(f.least, v);
            f.most = Math.max(f.most, v);
            return f;
        }

        @Override
        public Folded getResult(Folded f) {
            return f;
        }

        @Override
        public Folded merge(Folded a, Folded b) {
            a.samples += b.samples;
            a.total += b.total;
            a.least = Math.min(a.least, b.least);
            a.most = Math.max(a.most, b.most);
            return a;
        }
    }

    private static final class Emit extends ProcessWindowFunction<Folded, Tuple2<byte[], byte[]>, String, TimeWindow> {
        @Override
        public void process(String host, Context c, Iterable<Folded> all, Collector<Tuple2<byte[], byte[]>> out) {
            for (Folded f : all) {
                out.collect(Tuple2.of(host.getBytes(StandardCharsets.UTF_8),
                        Rows.window(c.window().getStart(), host, f.samples, f.total, f.least, f.most)));
            }
        }
    }

    /** The sketch of a window is updated in place: the window is its only owner. */
    private static final class Distinct implements AggregateFunction<Tuple3<String, String, Long>, byte[], byte[]> {
        @Override
        public byte[] createAccumulator() {
            return Sources.none();
        }

        @Override
        public byte[] add(Tuple3<String, String, Long> e, byte[] sketch) {
            return Sources.add(sketch, e.f1);
        }

        @Override
        public byte[] getResult(byte[] sketch) {
            return sketch;
        }

        @Override
        public byte[] merge(byte[] a, byte[] b) {
            throw new UnsupportedOperationException("only session windows merge");
        }
    }

    private static final class EmitDistinct extends ProcessWindowFunction<byte[], Tuple2<byte[], byte[]>, String, TimeWindow> {
        @Override
        public void process(String tenant, Context c, Iterable<byte[]> all, Collector<Tuple2<byte[], byte[]>> out) {
            for (byte[] sketch : all) {
                out.collect(Tuple2.of(tenant.getBytes(StandardCharsets.UTF_8),
                        Rows.sources(c.window().getStart(), tenant, Sources.count(sketch))));
            }
        }
    }

    /** Lets the first of equal ids pass, and forgets them when ten minutes of event time are over. */
    private static final class First extends KeyedProcessFunction<Tuple2<Long, Long>, Tuple4<Long, Long, Long, String>, Tuple2<byte[], byte[]>> {
        private static final long WITHIN = 600_000;

        private transient ValueState<Boolean> seen;

        @Override
        public void open(org.apache.flink.api.common.functions.OpenContext context) {
            seen = getRuntimeContext().getState(new ValueStateDescriptor<>("seen", Types.BOOLEAN));
        }

        @Override
        public void processElement(Tuple4<Long, Long, Long, String> e, Context c, Collector<Tuple2<byte[], byte[]>> out) throws Exception {
            if (seen.value() != null) {
                return;
            }
            seen.update(true);
            // To whole seconds, so that timers come in bunches.
            c.timerService().registerEventTimeTimer((e.f2 + WITHIN) / 1000 * 1000 + 1000);
            byte[] id = new java.util.UUID(e.f0, e.f1).toString().replace("-", "").getBytes(StandardCharsets.UTF_8);
            out.collect(Tuple2.of(id, Rows.id(e.f2, e.f3, new String(id, StandardCharsets.UTF_8))));
        }

        @Override
        public void onTimer(long at, OnTimerContext c, Collector<Tuple2<byte[], byte[]>> out) {
            seen.clear();
        }
    }

    /** Folds the windows of a series, and judges each when the watermark passes its end, also those without a sample while alerts live. */
    private static final class Judge
            extends KeyedProcessFunction<Tuple2<String, String>, Tuple4<String, String, Double, Long>, Tuple2<byte[], byte[]>> {
        private final String text;

        private transient Rules rules;
        private transient MapState<Long, Folded> windows; // by end
        private transient ValueState<long[]> live;

        Judge(String text) {
            this.text = text;
        }

        @Override
        public void open(org.apache.flink.api.common.functions.OpenContext context) {
            rules = new Rules(text);
            windows = getRuntimeContext().getMapState(new MapStateDescriptor<>("windows", Types.LONG, Types.POJO(Folded.class)));
            live = getRuntimeContext().getState(new ValueStateDescriptor<>("live", PrimitiveArrayTypeInfo.LONG_PRIMITIVE_ARRAY_TYPE_INFO));
        }

        @Override
        public void processElement(Tuple4<String, String, Double, Long> e, Context c, Collector<Tuple2<byte[], byte[]>> out) throws Exception {
            if (!rules.watch(e.f1)) {
                return;
            }
            long end = e.f3 / Rules.WINDOW * Rules.WINDOW + Rules.WINDOW;
            Folded f = windows.get(end);
            if (f == null) {
                f = new Folded();
                c.timerService().registerEventTimeTimer(end - 1);
            }
            f.samples++;
            f.total += e.f2;
            f.most = Math.max(f.most, e.f2);
            windows.put(end, f);
        }

        @Override
        public void onTimer(long at, OnTimerContext c, Collector<Tuple2<byte[], byte[]>> out) throws Exception {
            String host = c.getCurrentKey().f0;
            String name = c.getCurrentKey().f1;
            long end = at + 1;
            Folded f = windows.get(end);
            if (f == null) {
                f = new Folded();
            } else {
                windows.remove(end);
            }
            long[] before = live.value();
            long[] after = rules.judge(name, before == null ? Rules.NONE : before, end, f.samples, f.total, f.most, (rule, state) ->
                    out.collect(Tuple2.of(host.getBytes(StandardCharsets.UTF_8), Rows.change(end, rule, host, name, state))));
            if (after.length > 0) {
                live.update(after);
                c.timerService().registerEventTimeTimer(end + Rules.WINDOW - 1);
            } else if (before != null) {
                live.clear();
            }
        }
    }

    private static final class Writer implements KafkaRecordSerializationSchema<Tuple2<byte[], byte[]>> {
        private final String topic;

        Writer(String topic) {
            this.topic = topic;
        }

        @Override
        public ProducerRecord<byte[], byte[]> serialize(Tuple2<byte[], byte[]> row, KafkaSinkContext context, Long time) {
            return new ProducerRecord<>(topic, row.f0, row.f1);
        }
    }
}
