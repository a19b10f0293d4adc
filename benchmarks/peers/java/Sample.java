import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;

/** The fields of an event that jobs want. An object is filled again and again. */
final class Sample {
    private static final JsonFactory JSON = new JsonFactory();

    long time;
    String name;
    String tenant;
    String host;
    double value;
    String region;
    String id;

    /**
     * Reads a record to its end, since a record that is cut off is no event. Name and tenant, and attributes, are looked at only
     * on demand.
     */
    void read(byte[] record, boolean labels, boolean attributes) throws IOException {
        name = null;
        tenant = null;
        host = null;
        region = null;
        id = null;
        try (JsonParser p = JSON.createParser(record)) {
            if (p.nextToken() != JsonToken.START_OBJECT) {
                throw new IOException("no JSON object");
            }
            for (String field = p.nextFieldName(); field != null; field = p.nextFieldName()) {
                JsonToken token = p.nextToken();
                switch (field) {
                    case "time" -> time = p.getLongValue();
                    case "name" -> {
                        if (labels) {
                            name = p.getText();
                        }
                    }
                    case "tenant" -> {
                        if (labels) {
                            tenant = p.getText();
                        }
                    }
                    case "host" -> host = p.getText();
                    case "value" -> value = p.getDoubleValue();
                    case "attributes" -> {
                        if (attributes) {
                            readAttributes(p);
                        } else {
                            p.skipChildren();
                        }
                    }
                    default -> {
                        if (token.isStructStart()) {
                            p.skipChildren();
                        }
                    }
                }
            }
        }
    }

    private void readAttributes(JsonParser p) throws IOException {
        for (String field = p.nextFieldName(); field != null; field = p.nextFieldName()) {
            JsonToken token = p.nextToken();
            switch (field) {
                case "region" -> region = p.getText();
                case "id" -> id = p.getText();
                default -> {
                    if (token.isStructStart()) {
                        p.skipChildren();
                    }
                }
            }
        }
    }
}
