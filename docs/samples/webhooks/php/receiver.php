<?php
// Receives Khata's webhooks. Needs PHP 8.0 or later with PDO for SQLite, and no package.
//
//     KHATA_WEBHOOK_SECRET=whsec_… PORT=3000 php receiver.php
//
// docs/webhooks.md explains the rules.

declare(strict_types=1);

// Seconds between the sender's clock and ours; an older request may be a recorded one that somebody sends again.
const TOLERANCE = 5 * 60;

/** Returns the key of the HMAC; null if the text is no secret, but `whsec_…` as a page shows it, for instance. */
function key_of(string $secret): ?string
{
    $key = base64_decode(str_starts_with($secret, 'whsec_') ? substr($secret, 6) : $secret, true);
    return $key === false || strlen($key) < 24 ? null : $key;
}

/** Checks the signature of the bytes that were received. Returns why they are refused; null if they are not. */
function refusal(string $key, array $server, string $body, int $now): ?string
{
    $id = $server['HTTP_WEBHOOK_ID'] ?? '';
    $timestamp = $server['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
    if (!ctype_digit($timestamp) || abs($now - (int) $timestamp) > TOLERANCE) {
        return 'webhook-timestamp is missing, or differs from our clock by more than five minutes';
    }
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, true));
    // While Khata replaces a secret, the header has a signature of each.
    foreach (explode(' ', $server['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $signature) {
        if (hash_equals($expected, $signature)) {
            return null;
        }
    }
    return 'no signature matches: see "My signature does not match" in docs/webhooks.md';
}

/** Stores what the event says, once. Returns a line for the log. */
function record(PDO $database, string $id, string $body): string
{
    // One transaction: after a crash, both rows exist or neither, and Khata sends the event again.
    $database->beginTransaction();
    $line = insert($database, $id, $body);
    $database->commit();
    return $line;
}

function insert(PDO $database, string $id, string $body): string
{
    $event = json_decode($body, true, 512, JSON_THROW_ON_ERROR);
    $insert = $database->prepare('insert or ignore into events (id, body) values (?, ?)');
    $insert->execute([$id, $body]);
    if ($insert->rowCount() === 0) {
        return "$id received before";
    }
    $account = $event['content']['customer_account'] ?? null;
    if ($account === null) {
        return "$id {$event['event_name']}";
    }
    $upsert = $database->prepare(
        'insert into accounts (id, version, status) values (?, ?, ?)
         on conflict (id) do update set version = excluded.version, status = excluded.status
         where excluded.version > accounts.version'
    );
    $upsert->execute([$account['id'], $account['version'], $account['status']]);
    if ($upsert->rowCount() === 0) {
        return "$id older than the version that we have";
    }
    return "$id {$event['event_name']} {$account['id']} version {$account['version']}";
}

function connect(): PDO
{
    $path = getenv('DATABASE') ?: 'webhooks.db';
    $database = new PDO("sqlite:$path", null, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
    $database->exec('pragma busy_timeout = 5000');
    $database->exec('create table if not exists events (id text primary key, body text not null)');
    $database->exec(
        'create table if not exists accounts (id text primary key, version integer not null, status text not null)'
    );
    return $database;
}

$key = key_of(getenv('KHATA_WEBHOOK_SECRET') ?: '');
if ($key === null) {
    error_log('set KHATA_WEBHOOK_SECRET to the endpoint\'s secret: whsec_ and base64 of at least 24 bytes');
    http_response_code(500);
    exit(1);
}
if (PHP_SAPI === 'cli') {
    // PHP's own server runs this file again for each request.
    $address = '127.0.0.1:' . (getenv('PORT') ?: '3000');
    passthru(escapeshellarg(PHP_BINARY) . " -S $address " . escapeshellarg(__FILE__), $status);
    exit($status);
}
// The bytes as they came: text that was parsed and written again has another signature.
$body = file_get_contents('php://input');
$refused = refusal($key, $_SERVER, $body, time());
if ($refused !== null) {
    http_response_code(401);
    header('content-type: text/plain; charset=utf-8');
    echo $refused;
    return;
}
$line = record(connect(), $_SERVER['HTTP_WEBHOOK_ID'], $body);
// Khata waits ten seconds: reply now. Slow work reads the table `events` later.
http_response_code(204);
error_log($line);
