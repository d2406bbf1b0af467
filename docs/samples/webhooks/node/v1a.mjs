// Verifies the v1a signatures of Khata's webhooks with the endpoint's public keys. Needs Node 18 or later, and no package.
//
//     const keys = await (await fetch(`${api}/.well-known/webhooks/${endpoint}/jwks.json`)).json();
//     if (!isSigned(keys, request.headers, bytes)) …
//
// Fetch the keys again after five minutes. docs/webhooks.md explains the rules.

import { createPublicKey, verify } from 'node:crypto';

// Seconds between the sender's clock and ours; an older request may be a recorded one that somebody sends again.
const TOLERANCE = 5 * 60;

/** Whether one of the keys signed the bytes that were received. */
export function isSigned(keys, headers, body, now = Date.now() / 1000) {
  const { 'webhook-id': id = '', 'webhook-timestamp': timestamp = '', 'webhook-signature': signatures = '' } = headers;
  if (!/^\d+$/.test(timestamp) || Math.abs(now - Number(timestamp)) > TOLERANCE) return false;
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const publicKeys = keys.keys.map((key) => createPublicKey({ key, format: 'jwk' }));
  // While Khata replaces a key pair, the header has a signature of each.
  return signatures.split(' ').some((signature) => {
    const [version, value = ''] = signature.split(',');
    return version === 'v1a' && publicKeys.some((key) => verify(null, signed, key, Buffer.from(value, 'base64')));
  });
}
