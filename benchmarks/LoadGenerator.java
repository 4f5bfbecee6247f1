import java.io.BufferedOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
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
 * Sends trades at a fixed rate; the event time of a trade is the instant it is made.
 *
 * <p>In Java because a Python producer would take one of two cores for itself at 20,000 trades/s.
 * Arguments: "kafka" or "ilp", its address, topic or table, trades a second, seconds, symbols,
 * output folder. Writes one file a partition: the event times in nanoseconds by offset, as 8-byte
 * big-endian integers.
 */
public final class LoadGenerator {
    private static final long SECOND_NS = 1_000_000_000L;
    private static final long STEP_NS = 2_000_000L;

    private LoadGenerator() {}

    public static void main(String[] args) throws Exception {
        try (Target target =
                args[0].equals("ilp") ? new Ilp(args[1], args[2]) : new Kafka(args[1], args[2])) {
            send(
                    target,
                    Long.parseLong(args[3]),
                    Long.parseLong(args[4]) * SECOND_NS,
                    Integer.parseInt(args[5]));
            target.flush();
            target.times().save(Path.of(args[6]));
        }
    }

    private static void send(Target target, long rate, long durationNs, int symbols)
            throws Exception {
        Instant now = Instant.now();
        long epochNs = now.getEpochSecond() * SECOND_NS + now.getNano();
        long began = System.nanoTime();
        long sent = 0;
        for (long elapsed = 0; elapsed < durationNs; elapsed = System.nanoTime() - began) {
            long due = (long) ((double) elapsed * rate / SECOND_NS);
            for (; sent < due; sent++) {
                String symbol = "S" + (100 + sent % symbols);
                target.send(new Trade(sent, symbol, epochNs + System.nanoTime() - began));
            }
            target.step();
            LockSupport.parkNanos(STEP_NS);
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private record Trade(long number, String symbol, long ns) {
        String price() {
            long cents = 10_000 + (number * 7_919) % 500;
            return cents / 100 + "." + cents % 100 / 10 + cents % 10;
        }

        long size() {
            return 1 + number % 300;
        }
    }

    /** Where trades go; `step` is called every few milliseconds. */
    private interface Target extends AutoCloseable {
        void send(Trade trade) throws Exception;

        void step() throws Exception;

        void flush() throws Exception;

        Times times();

        @Override
        void close() throws IOException;
    }

    /** The event times of the acknowledged trades, by partition and offset. */
    private static final class Times {
        private final long[][] eventNs;

        Times(int partitions) {
            eventNs = new long[partitions][1024];
        }

        void put(int partition, int offset, long ns) {
            long[] times = eventNs[partition];
            if (offset >= times.length) {
                times = Arrays.copyOf(times, Math.max(offset + 1, times.length * 2));
                eventNs[partition] = times;
            }
            times[offset] = ns;
        }

        void save(Path folder) throws IOException {
            for (int partition = 0; partition < eventNs.length; partition++) {
                Path file = folder.resolve("partition-" + partition);
                try (var out = new DataOutputStream(
                        new BufferedOutputStream(Files.newOutputStream(file)))) {
                    for (long ns : eventNs[partition]) {
                        if (ns == 0) {
                            break; // offsets of a fresh topic have no holes, so this is the end
                        }
                        out.writeLong(ns);
                    }
                }
            }
        }
    }

    /** A topic of Kafka, which receives native JSON payloads. */
    private static final class Kafka implements Target {
        private static final DateTimeFormatter SECONDS =
                DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss").withZone(ZoneOffset.UTC);

        private final String topic;
        private final KafkaProducer<byte[], byte[]> producer;
        private final Times times;
        private volatile Exception failure;
        private long secondOfText = -1;
        private String secondText = "";

        Kafka(String bootstrap, String topic) {
            var settings = new Properties();
            settings.put("bootstrap.servers", bootstrap);
            settings.put("key.serializer", ByteArraySerializer.class.getName());
            settings.put("value.serializer", ByteArraySerializer.class.getName());
            settings.put("acks", "all");
            settings.put("enable.idempotence", "true");
            settings.put("linger.ms", "5");
            this.topic = topic;
            producer = new KafkaProducer<>(settings);
            times = new Times(producer.partitionsFor(topic).size());
        }

        @Override
        public void send(Trade trade) {
            String payload =
                    "{\"kind\":\"trade\",\"symbol\":\"" + trade.symbol()
                            + "\",\"venue\":\"XNAS\",\"id\":\"" + trade.number()
                            + "\",\"sequence\":" + trade.number()
                            + ",\"event_time\":\"" + iso(trade.ns())
                            + "\",\"price\":\"" + trade.price()
                            + "\",\"size\":\"" + trade.size() + "\",\"conditions\":[\"@\"]}";
            var record = new ProducerRecord<>(topic, bytes(trade.symbol()), bytes(payload));
            record.headers().add("feed", bytes("truetape"));
            record.headers().add("received_ns", bytes(Long.toString(trade.ns())));
            producer.send(record, (placed, error) -> acknowledged(placed, error, trade.ns()));
        }

        /** Runs in the producer's one network thread. */
        private void acknowledged(RecordMetadata placed, Exception error, long ns) {
            if (error != null) {
                failure = error;
                return;
            }
            times.put(placed.partition(), Math.toIntExact(placed.offset()), ns);
        }

        @Override
        public void step() throws Exception {
            if (failure != null) {
                throw failure;
            }
        }

        @Override
        public void flush() throws Exception {
            producer.flush();
            step();
        }

        @Override
        public Times times() {
            return times;
        }

        @Override
        public void close() {
            producer.close();
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
    }

    /** A table of QuestDB, which receives lines by HTTP; it commits each request as a whole. */
    private static final class Ilp implements Target {
        private final URI address;
        private final String table;
        private final HttpClient client =
                HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        private final Times times = new Times(1);
        private final StringBuilder lines = new StringBuilder();

        Ilp(String address, String table) {
            this.address = URI.create("http://" + address + "/write?precision=n");
            this.table = table;
        }

        @Override
        public void send(Trade trade) {
            lines.append(table).append(",symbol=").append(trade.symbol())
                    .append(",venue=XNAS id=").append(trade.number())
                    .append("i,price=").append(trade.price())
                    .append(",size=").append(trade.size())
                    .append(' ').append(trade.ns()).append('\n');
            times.put(0, Math.toIntExact(trade.number()), trade.ns());
        }

        @Override
        public void step() throws Exception {
            if (lines.isEmpty()) {
                return;
            }
            var request = HttpRequest.newBuilder(address)
                    .POST(BodyPublishers.ofString(lines.toString())).build();
            lines.setLength(0);
            var response = client.send(request, BodyHandlers.ofString());
            if (response.statusCode() / 100 != 2) {
                throw new IOException(response.statusCode() + ": " + response.body());
            }
        }

        @Override
        public void flush() throws Exception {
            step();
        }

        @Override
        public Times times() {
            return times;
        }

        @Override
        public void close() {}
    }
}
