// Juspay's own client for Node (npm `expresscheckout-nodejs`) against Khata: a customer's life, as a merchant's backend
// would lead it.
//
// KHATA_API_URL and KHATA_API_KEY say where and as whom. Prints one JSON line of what the client gave back; ends with 1
// where that is not what Juspay's documents promise. Run it in the folder that the client is installed in: the client
// insists on a package.json there.
//
// The client speaks https to port 443 of the base URL's host, whatever scheme and port the base URL names. A test cannot
// have port 443, so KHATA_TLS_PORT, where it is set, is the port of 127.0.0.1 that stands for it: what a name server and
// a load balancer are in production. The client is none the wiser.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import https from 'node:https';
import { createRequire } from 'node:module';
import path from 'node:path';

const { Juspay } = createRequire(path.join(process.cwd(), 'package.json'))('expresscheckout-nodejs');

function standInForPort443(port) {
  const connect = https.Agent.prototype.createConnection;
  https.Agent.prototype.createConnection = function (options, ...rest) {
    assert.equal(Number(options.port), 443);
    return connect.call(this, { ...options, host: '127.0.0.1', port }, ...rest);
  };
}

/** What the client rejects with, which has to be of this kind. */
async function refusal(kind, promise) {
  const error = await promise.then(
    (answered) => assert.fail(`answered ${JSON.stringify(answered)} instead of rejecting with ${kind.name}`),
    (rejected) => rejected,
  );
  assert.ok(error instanceof kind, `${error.name}: ${error.message}`);
  const { name, status, error_code, error_message, error_info } = error;
  return { name, status, error_code, error_message, error_info };
}

/** The answer without what the client adds: the exchange it came from. */
function customerOf({ http, ...customer }) {
  assert.equal(http.statusCode, 200);
  return customer;
}

async function leadALife(juspay, reference) {
  const { InvalidRequestError, AuthenticationError } = Juspay.errors;
  const details = {
    mobile_number: '9876543210',
    mobile_country_code: '91',
    email_address: 'asha.rao+khata@example.com',
    first_name: 'Asha',
    last_name: 'Rao',
  };
  // Integrations of Juspay's API send it on both calls; Khata issues no such tokens.
  const option = { 'options.get_client_auth_token': 'true' };
  const create = () => juspay.customer.create({ object_reference_id: reference, ...details, ...option });
  const get = async (id) => customerOf(await juspay.customer.get(id));

  const created = customerOf(await create());
  assert.match(created.id, /^cst_/);
  assert.equal(created.object, 'customer');
  assert.equal(created.date_created, created.last_updated);
  assert.deepEqual(created, { ...created, object_reference_id: reference, ...details });

  assert.deepEqual(await get(created.id), created);
  assert.deepEqual(await get(reference), created);
  assert.deepEqual(customerOf(await juspay.customer.get(reference, option)), created);

  const changes = { mobile_number: '9123456780', first_name: 'Aasha' };
  const updated = customerOf(await juspay.customer.update(created.id, changes));
  assert.deepEqual(updated, { ...created, ...changes, last_updated: updated.last_updated });
  assert.ok(updated.last_updated >= created.last_updated);
  assert.deepEqual(await get(reference), updated);

  const duplicate = await refusal(InvalidRequestError, create());
  assert.equal(duplicate.status, 'invalid_request_error');
  assert.equal(duplicate.error_code, 'unique');
  assert.equal(duplicate.error_info.code, 'ALREADY_EXISTS');

  const unknown = await refusal(InvalidRequestError, juspay.customer.get(`${reference}_unknown`));
  assert.equal(unknown.error_code, 'object_not_found');

  const wrongKey = { apiKey: `${process.env.KHATA_API_KEY}x` };
  const stranger = await refusal(AuthenticationError, juspay.customer.get(reference, undefined, wrongKey));
  assert.equal(stranger.error_code, 'access_denied');
  assert.equal(stranger.error_info.code, 'UNAUTHORIZED');
  return { created, updated, duplicate, unknown, wrong_key: stranger };
}

try {
  if (process.env.KHATA_TLS_PORT) standInForPort443(Number(process.env.KHATA_TLS_PORT));
  // It would log every call to the console and to a file.
  Juspay.customLogger = Juspay.silentLogger;
  const juspay = new Juspay({
    merchantId: 'khata',
    apiKey: process.env.KHATA_API_KEY,
    baseUrl: process.env.KHATA_API_URL,
    timeout: 20_000,
  });
  console.log(JSON.stringify(await leadALife(juspay, `node_${randomUUID().replaceAll('-', '')}`)));
  // It keeps its connections open.
  process.exit(0);
} catch (error) {
  console.error(error);
  process.exit(1);
}
