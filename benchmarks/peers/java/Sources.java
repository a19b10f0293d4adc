import java.nio.charset.StandardCharsets;
import org.apache.datasketches.hll.HllSketch;
import org.apache.datasketches.hll.TgtHllType;
import org.apache.datasketches.memory.WritableMemory;

/** How many different sources there are: a HyperLogLog sketch of 1,024 registers, in bytes that are updated in place. */
final class Sources {
    private static final int LOG_REGISTERS = 10;

    private Sources() {}

    static byte[] none() {
        byte[] sketch = new byte[HllSketch.getMaxUpdatableSerializationBytes(LOG_REGISTERS, TgtHllType.HLL_8)];
        new HllSketch(LOG_REGISTERS, TgtHllType.HLL_8, WritableMemory.writableWrap(sketch));
        return sketch;
    }

    static byte[] add(byte[] sketch, String source) {
        HllSketch.writableWrap(WritableMemory.writableWrap(sketch)).update(source.getBytes(StandardCharsets.UTF_8));
        return sketch;
    }

    static long count(byte[] sketch) {
        return Math.round(HllSketch.writableWrap(WritableMemory.writableWrap(sketch)).getEstimate());
    }
}
