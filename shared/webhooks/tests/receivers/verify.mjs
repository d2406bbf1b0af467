// The published library for Node: reads a JSON list of requests, and prints a list that says which it accepts. Runs in the
// folder in which the library is installed.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const library = createRequire(path.join(process.cwd(), 'package.json'))('standardwebhooks');

function accepts({ secret, headers, body }) {
  try {
    new library.Webhook(secret).verify(Buffer.from(body), headers);
    return true;
  } catch (error) {
    if (error instanceof library.WebhookVerificationError) return false;
    throw error;
  }
}

console.log(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map(accepts)));
