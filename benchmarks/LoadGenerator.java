import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Sends native trades to Kafka at a fixed rate; the event time of a trade is the instant it is sent.
 *
 * <p>In Java because a Python producer would take one of two cores for itself at 20,000 trades/s.
 * Arguments: bootstrap, topic, trades a second, seconds, symbols, output folder. Writes one file a
 * partition: the event times in nanoseconds by offset, as 8-byte big-endian integers.
 */
public final class LoadGenerator {
    private static final long SECOND_NS = 1_000_000_000L;
    private static final long STEP_NS = 2_000_000L;
    private static final DateTimeFormatter SECONDS =
            DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss").withZone(ZoneOffset.UTC);

    private final String topic;
    private final long[][] eventNs;
    private volatile Exception failure;
    private long secondOfText = -1;
    private String secondText = "";

    private LoadGenerator(String topic, int partitions) {
        this.topic = topic;
        this.eventNs = new long[partitions][1024];
    }

    public static void main(String[] args) throws Exception {
        var settings = new Properties();
        settings.put("bootstrap.servers", args[0]);
        settings.put("key.serializer", ByteArraySerializer.class.getName());
        settings.put("value.serializer", ByteArraySerializer.class.getName());
        settings.put("acks", "all");
        settings.put("enable.idempotence", "true");
        settings.put("linger.ms", "5");
        try (var producer = new KafkaProducer<byte[], byte[]>(settings)) {
            var generator = new LoadGenerator(args[1], producer.partitionsFor(args[1]).size());
            generator.send(
                    producer,
                    Long.parseLong(args[2]),
                    Long.parseLong(args[3]) * SECOND_NS,
                    Integer.parseInt(args[4]));
            producer.flush();
            generator.save(Path.of(args[5]));
        }
    }

    private void send(KafkaProducer<byte[], byte[]> producer, long rate, long durationNs, int symbols)
            throws Exception {
        Instant now = Instant.now();
        long epochNs = now.getEpochSecond() * SECOND_NS + now.getNano();
        long began = System.nanoTime();
        long sent = 0;
        for (long elapsed = 0; elapsed < durationNs; elapsed = System.nanoTime() - began) {
            long due = (long) ((double) elapsed * rate / SECOND_NS);
            for (; sent < due; sent++) {
                sendOne(producer, sent, epochNs + System.nanoTime() - began, (int) (sent % symbols));
            }
            if (failure != null) {
                throw failure;
            }
            LockSupport.parkNanos(STEP_NS);
        }
    }

    private void sendOne(KafkaProducer<byte[], byte[]> producer, long number, long ns, int symbol) {
        String name = "S" + (100 + symbol);
        long cents = 10_000 + (number * 7_919) % 500;
        String payload =
                "{\"kind\":\"trade\",\"symbol\":\"" + name + "\",\"venue\":\"XNAS\",\"id\":\"" + number
                        + "\",\"sequence\":" + number + ",\"event_time\":\"" + iso(ns)
                        + "\",\"price\":\"" + cents / 100 + "." + cents % 100 / 10 + cents % 10
                        + "\",\"size\":\"" + (1 + number % 300) + "\",\"conditions\":[\"@\"]}";
        var record = new ProducerRecord<>(topic, bytes(name), bytes(payload));
        record.headers().add("feed", bytes("truetape"));
        record.headers().add("received_ns", bytes(Long.toString(ns)));
        producer.send(record, (placed, error) -> acknowledged(placed, error, ns));
    }

    /** Runs in the producer's one network thread. */
    private void acknowledged(RecordMetadata placed, Exception error, long ns) {
        if (error != null) {
            failure = error;
            return;
        }
        int offset = Math.toIntExact(placed.offset());
        long[] times = eventNs[placed.partition()];
        if (offset >= times.length) {
            times = Arrays.copyOf(times, Math.max(offset + 1, times.length * 2));
            eventNs[placed.partition()] = times;
        }
        times[offset] = ns;
    }

    private void save(Path folder) throws IOException {
        for (int partition = 0; partition < eventNs.length; partition++) {
            Path file = folder.resolve("partition-" + partition);
            try (var out = new DataOutputStream(new java.io.BufferedOutputStream(
                    Files.newOutputStream(file)))) {
                for (long ns : eventNs[partition]) {
                    if (ns == 0) {
                        break; // offsets of a fresh topic have no holes, so this is the end
                    }
                    out.writeLong(ns);
                }
            }
        }
    }

    private String iso(long ns) {
        long second = ns / SECOND_NS;
        if (second != secondOfText) {
            secondOfText = second;
            secondText = SECONDS.format(Instant.ofEpochSecond(second));
        }
        String fraction = Long.toString(ns % SECOND_NS + SECOND_NS);
        return secondText + "." + fraction.substring(1) + "Z";
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
