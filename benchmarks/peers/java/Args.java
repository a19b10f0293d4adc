import java.util.HashMap;
import java.util.Map;

/** The settings of a job, given as name=value. */
final class Args {
    private final Map<String, String> all = new HashMap<>();

    Args(String[] argv) {
        for (String arg : argv) {
            int cut = arg.indexOf('=');
            if (cut < 0) {
                throw new IllegalArgumentException(arg + " is not name=value");
            }
            all.put(arg.substring(0, cut), arg.substring(cut + 1));
        }
    }

    String text(String name) {
        String value = all.get(name);
        if (value == null) {
            throw new IllegalArgumentException(name + "= is missing");
        }
        return value;
    }

    long number(String name) {
        return Long.parseLong(text(name));
    }

    boolean yes(String name) {
        return Boolean.parseBoolean(text(name));
    }
}
