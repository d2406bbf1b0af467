// Receives Khata's webhooks. Needs Node 18 or later, and no package.
//
//     KHATA_WEBHOOK_SECRET=whsec_… PORT=3000 node receiver.mjs
//
// docs/webhooks.md explains the rules.

import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

// Seconds between the sender's clock and ours; an older request may be a recorded one that somebody sends again.
const TOLERANCE = 5 * 60;
const MAX_BODY = 1024 * 1024;

// Node ignores what is no base64: `whsec_…`, as a page shows it, would be an empty key.
const secret = (process.env.KHATA_WEBHOOK_SECRET ?? '').replace(/^whsec_/, '');
const key = Buffer.from(/^[A-Za-z0-9+/]+={0,2}$/.test(secret) ? secret : '', 'base64');
if (key.length < 24) {
  console.error("set KHATA_WEBHOOK_SECRET to the endpoint's secret: whsec_ and base64 of at least 24 bytes");
  process.exit(1);
}

/** Checks the signature of the bytes that were received. Returns why they are refused; undefined if they are not. */
function refusal(headers, body, now) {
  const { 'webhook-id': id = '', 'webhook-timestamp': timestamp = '', 'webhook-signature': signatures = '' } = headers;
  if (!/^\d+$/.test(timestamp) || Math.abs(now - Number(timestamp)) > TOLERANCE) {
    return 'webhook-timestamp is missing, or differs from our clock by more than five minutes';
  }
  const expected = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest();
  // While Khata replaces a secret, the header has a signature of each.
  const matches = signatures.split(' ').some((signature) => {
    const [version, value = ''] = signature.split(',');
    const given = Buffer.from(value, 'base64');
    return version === 'v1' && given.length === expected.length && timingSafeEqual(given, expected);
  });
  return matches ? undefined : 'no signature matches: see "My signature does not match" in docs/webhooks.md';
}

// A restart forgets both. Keep them in your database, in the transaction that stores the event: ../python/receiver.py.
const received = new Set();
const versions = new Map();

/** Keeps what the event says, once. Returns a line for the log. */
function record(id, event) {
  if (received.has(id)) return `${id} received before`;
  received.add(id);
  const account = event.content.customer_account;
  if (!account) return `${id} ${event.event_name}`;
  if (account.version <= (versions.get(account.id) ?? 0)) return `${id} older than the version that we have`;
  versions.set(account.id, account.version);
  return `${id} ${event.event_name} ${account.id} version ${account.version}`;
}

const server = createServer(async (request, response) => {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > MAX_BODY) return response.writeHead(413).end();
    chunks.push(chunk);
  }
  // The bytes as they came: text that was parsed and written again has another signature.
  const body = Buffer.concat(chunks);
  const refused = request.method === 'POST' ? refusal(request.headers, body, Date.now() / 1000) : 'send a POST';
  if (refused) return response.writeHead(401, { 'content-type': 'text/plain' }).end(refused);
  const line = record(request.headers['webhook-id'], JSON.parse(body.toString()));
  // Khata waits ten seconds: reply now, and do slow work afterwards.
  response.writeHead(204).end();
  console.log(line);
});

server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
