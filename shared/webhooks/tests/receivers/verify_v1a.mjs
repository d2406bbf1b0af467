// The sample for v1a signatures: reads a JSON list of requests, and prints a list that says which it accepts.

import { readFileSync } from 'node:fs';

import { isSigned } from '../../../../docs/samples/webhooks/node/v1a.mjs';

const accepts = ({ keys, headers, body }) => isSigned(keys, headers, Buffer.from(body));

console.log(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map(accepts)));
