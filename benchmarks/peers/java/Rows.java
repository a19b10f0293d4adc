import com.fasterxml.jackson.core.io.JsonStringEncoder;
import java.nio.charset.StandardCharsets;

/** What comes out, as JSON: the same of every engine. */
final class Rows {
    private static final JsonStringEncoder QUOTE = JsonStringEncoder.getInstance();

    private Rows() {}

    static byte[] window(long start, String host, long samples, double total, double least, double most) {
        StringBuilder b = new StringBuilder(128).append("{\"start\":").append(start);
        text(b, "host", host);
        b.append(",\"samples\":").append(samples).append(",\"total\":").append(total);
        b.append(",\"least\":").append(least).append(",\"most\":").append(most).append('}');
        return b.toString().getBytes(StandardCharsets.UTF_8);
    }

    static byte[] sources(long start, String tenant, long hosts) {
        StringBuilder b = new StringBuilder(64).append("{\"start\":").append(start);
        text(b, "tenant", tenant);
        return b.append(",\"hosts\":").append(hosts).append('}').toString().getBytes(StandardCharsets.UTF_8);
    }

    static byte[] change(long time, String rule, String host, String name, String state) {
        StringBuilder b = new StringBuilder(160).append("{\"time\":").append(time);
        text(b, "rule", rule);
        text(b, "host", host);
        text(b, "name", name);
        text(b, "state", state);
        return b.append('}').toString().getBytes(StandardCharsets.UTF_8);
    }

    static byte[] sample(long time, String host, String region, double value) {
        StringBuilder b = new StringBuilder(128).append("{\"time\":").append(time);
        text(b, "host", host);
        text(b, "region", region);
        return b.append(",\"value\":").append(value).append('}').toString().getBytes(StandardCharsets.UTF_8);
    }

    static byte[] id(long time, String host, String id) {
        StringBuilder b = new StringBuilder(128).append("{\"time\":").append(time);
        text(b, "host", host);
        text(b, "id", id);
        return b.append('}').toString().getBytes(StandardCharsets.UTF_8);
    }

    private static void text(StringBuilder b, String name, String value) {
        b.append(",\"").append(name).append("\":\"");
        QUOTE.quoteAsString(value, b);
        b.append('"');
    }
}
