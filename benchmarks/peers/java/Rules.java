import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Rules on windows that follow each other, and what becomes of their alerts. The alerts of a series that are pending or firing are
 * three numbers each, in the order of the rules: the rule's number and whether it fires, since when it holds, when it held last.
 */
final class Rules {
    static final long WINDOW = 30_000;
    static final long[] NONE = {};

    /** Takes a change of an alert. */
    interface Changes {
        void change(String rule, String state);
    }

    private record Rule(int number, String name, boolean mean, double above, long hold, long keep) {}

    private final Map<String, Rule[]> byMetric = new HashMap<>();
    private final long[] next;

    /** Reads name,metric,column,threshold,for,keep_firing_for;… with times in milliseconds. */
    Rules(String text) {
        Map<String, List<Rule>> lists = new HashMap<>();
        String[] all = text.split(";");
        for (int i = 0; i < all.length; i++) {
            String[] f = all[i].split(",");
            lists.computeIfAbsent(f[1], metric -> new ArrayList<>()).add(new Rule(i, f[0], f[2].equals("mean"), Double.parseDouble(f[3]),
                    Long.parseLong(f[4]), Long.parseLong(f[5])));
        }
        lists.forEach((metric, list) -> byMetric.put(metric, list.toArray(new Rule[0])));
        next = new long[3 * all.length];
    }

    /** Whether any rule looks at the metric. */
    boolean watch(String metric) {
        return byMetric.containsKey(metric);
    }

    /** Judges the window that ends at end. A window without a sample holds for no rule. */
    long[] judge(String metric, long[] live, long end, long samples, double total, double most, Changes out) {
        double mean = samples == 0 ? 0 : total / samples;
        int at = 0;
        int n = 0;
        for (Rule r : byMetric.get(metric)) {
            boolean known = at < live.length && live[at] >> 1 == r.number;
            boolean holds = samples > 0 && (r.mean ? mean : most) > r.above;
            if (!known && !holds) {
                continue;
            }
            boolean firing = known && (live[at] & 1) == 1;
            long since = known ? live[at + 1] : end;
            long held = holds ? end : live[at + 2];
            if (known) {
                at += 3;
            }
            if (holds && !firing && end - since >= r.hold) {
                firing = true;
                out.change(r.name, "firing");
            } else if (holds && !known) {
                out.change(r.name, "pending");
            } else if (!holds && !firing) {
                out.change(r.name, "inactive");
                continue;
            } else if (!holds && end - held >= r.keep) {
                out.change(r.name, "resolved");
                continue;
            }
            next[n++] = (long) r.number << 1 | (firing ? 1 : 0);
            next[n++] = since;
            next[n++] = held;
        }
        return n == 0 ? NONE : Arrays.copyOf(next, n);
    }
}
