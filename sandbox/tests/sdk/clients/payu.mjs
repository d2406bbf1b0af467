// PayU's own client for Node (npm `payu-websdk`) against the sandbox: the look-up of a UPI address and the check of a
// payment, with the client's own hashes. Run it in the folder that the client is installed in.
//
// The client speaks https to port 443 of hosts that are literals in it. Its connections are made to the sandbox instead, in
// the clear, and its path gets the sandbox's prefix; what it sends over them is its own.

import assert from 'node:assert/strict';
import https from 'node:https';
import { createRequire } from 'node:module';
import net from 'node:net';
import path from 'node:path';

const Payu = createRequire(path.join(process.cwd(), 'package.json'))('payu-websdk');
const sandbox = new URL(process.env.SANDBOX_URL);

https.Agent.prototype.createConnection = (options) => {
  assert.equal(Number(options.port), 443);
  assert.equal(options.host, 'test.payu.in');
  return net.connect(Number(sandbox.port), sandbox.hostname);
};

function client(salt) {
  const payu = new Payu({ key: 'payu_sandbox_key', salt }, 'TEST');
  payu.credes.apiPath = `/payu${payu.credes.apiPath}`;
  return payu;
}

try {
  const payu = client('payu_sandbox_salt');
  const seen = {
    published: await payu.validateVPA('9999999999@upi'),
    invalid: await payu.validateVPA('abc@upi'),
    no_payment: await payu.verifyPayment('nobody'),
    wrong_salt: await client('guess').validateVPA('9999999999@upi'),
  };
  console.log(JSON.stringify(seen));
  process.exit(0);
} catch (error) {
  console.error(error);
  process.exit(1);
}
