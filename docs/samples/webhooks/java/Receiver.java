// Receives Khata's webhooks. Needs Java 17 or later, and no library.
//
//     KHATA_WEBHOOK_SECRET=whsec_… PORT=3000 java Receiver.java
//
// docs/webhooks.md explains the rules.

import static java.nio.charset.StandardCharsets.UTF_8;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.Base64;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public class Receiver {
    // Seconds between the sender's clock and ours; an older request may be a recorded one that somebody sends again.
    private static final long TOLERANCE = 5 * 60;
    private static final int MAX_BODY = 1024 * 1024;

    // The JDK has no JSON parser, and these members of Khata's events need none. Use your JSON library.
    private static final Pattern NAME = Pattern.compile("\"event_name\":\"([A-Z_]+)\"");
    private static final Pattern ACCOUNT = Pattern.compile("\"id\":\"(banh_[0-9a-v]{26})\"");
    private static final Pattern VERSION = Pattern.compile("\"version\":([0-9]+)");

    private final byte[] key;
    // A restart forgets both. Keep them in your database, in the transaction that stores the event: ../python/receiver.py.
    private final Set<String> received = new HashSet<>();
    private final Map<String, Long> versions = new HashMap<>();

    Receiver(byte[] key) {
        this.key = key;
    }

    /** Returns the key of the HMAC; null if the text is no secret, but `whsec_…` as a page shows it, for instance. */
    private static byte[] keyOf(String secret) {
        try {
            byte[] key = Base64.getDecoder().decode(secret.replaceFirst("^whsec_", ""));
            return key.length < 24 ? null : key;
        } catch (IllegalArgumentException error) {
            return null;
        }
    }

    /** Checks the signature of the bytes that were received. Returns why they are refused; null if they are not. */
    private String refusal(Headers headers, byte[] body, long now) throws GeneralSecurityException {
        String id = Objects.requireNonNullElse(headers.getFirst("webhook-id"), "");
        String timestamp = Objects.requireNonNullElse(headers.getFirst("webhook-timestamp"), "");
        if (!timestamp.matches("[0-9]{1,18}") || Math.abs(now - Long.parseLong(timestamp)) > TOLERANCE) {
            return "webhook-timestamp is missing, or differs from our clock by more than five minutes";
        }
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        mac.update((id + "." + timestamp + ".").getBytes(UTF_8));
        byte[] expected = ("v1," + Base64.getEncoder().encodeToString(mac.doFinal(body))).getBytes(UTF_8);
        // While Khata replaces a secret, the header has a signature of each.
        String signatures = Objects.requireNonNullElse(headers.getFirst("webhook-signature"), "");
        for (String signature : signatures.split(" ")) {
            if (MessageDigest.isEqual(signature.getBytes(UTF_8), expected)) {
                return null;
            }
        }
        return "no signature matches: see \"My signature does not match\" in docs/webhooks.md";
    }

    /** Keeps what the event says, once. Returns a line for the log. */
    private synchronized String record(String id, String event) {
        if (!received.add(id)) {
            return id + " received before";
        }
        String name = first(NAME, event);
        String account = first(ACCOUNT, event);
        if (account == null) {
            return id + " " + name;
        }
        long version = Long.parseLong(first(VERSION, event));
        if (version <= versions.getOrDefault(account, 0L)) {
            return id + " older than the version that we have";
        }
        versions.put(account, version);
        return id + " " + name + " " + account + " version " + version;
    }

    private static String first(Pattern pattern, String text) {
        Matcher matcher = pattern.matcher(text);
        return matcher.find() ? matcher.group(1) : null;
    }

    private void handle(HttpExchange exchange) throws IOException {
        try (exchange) {
            // The bytes as they came: text that was parsed and written again has another signature.
            byte[] body = exchange.getRequestBody().readNBytes(MAX_BODY + 1);
            if (body.length > MAX_BODY) {
                exchange.sendResponseHeaders(413, -1);
                return;
            }
            String refused = refusal(exchange.getRequestHeaders(), body, Instant.now().getEpochSecond());
            if (refused != null) {
                byte[] text = refused.getBytes(UTF_8);
                exchange.getResponseHeaders().set("content-type", "text/plain; charset=utf-8");
                exchange.sendResponseHeaders(401, text.length);
                exchange.getResponseBody().write(text);
                return;
            }
            String line = record(exchange.getRequestHeaders().getFirst("webhook-id"), new String(body, UTF_8));
            // Khata waits ten seconds: reply now, and do slow work afterwards.
            exchange.sendResponseHeaders(204, -1);
            System.out.println(line);
        } catch (GeneralSecurityException error) {
            throw new IOException(error);
        }
    }

    public static void main(String[] arguments) throws IOException {
        byte[] key = keyOf(Objects.requireNonNullElse(System.getenv("KHATA_WEBHOOK_SECRET"), ""));
        if (key == null) {
            System.err.println("set KHATA_WEBHOOK_SECRET to the endpoint's secret: whsec_ and base64 of at least 24 bytes");
            System.exit(1);
        }
        int port = Integer.parseInt(Objects.requireNonNullElse(System.getenv("PORT"), "3000"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.createContext("/", new Receiver(key)::handle);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.start();
        System.out.println("listening on http://127.0.0.1:" + server.getAddress().getPort());
    }
}
