// Reads accounts with the types that openapi-typescript makes of the document. Arguments and output as typescript_client.mjs says.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Account = components["schemas"]["CustomerAccount"];

// Node's own types would be another package.
declare const process: { argv: string[]; env: Record<string, string | undefined> };

const [customer_id, ...ids] = process.argv.slice(2);
const unknown = ids.pop()!;
const key = btoa(`${process.env.KHATA_API_KEY}:`);
const client = createClient<paths>({
  baseUrl: process.env.KHATA_API_URL!,
  headers: { authorization: `Basic ${key}` },
});
const get = (account_id: string) =>
  client.GET("/customers/{customer_id}/customer-accounts/{account_id}", {
    params: { path: { customer_id: customer_id!, account_id } },
  });

/** Account number or UPI address: the compiler knows which details have which. */
function identifier(account: Account): string {
  const details = account.account_details;
  return "vpa_details" in details ? details.vpa_details.vpa : details.bank_account_details.account_number;
}

const accounts: (Account & { identifier: string })[] = [];
for (const id of ids) {
  const { data, error } = await get(id);
  if (!data) throw new Error(error.error_message);
  accounts.push({ ...data, identifier: identifier(data) });
}
const { error } = await get(unknown);
const refused: components["schemas"]["ErrorCodeWord"] | undefined = error?.error_info.code;
console.log(JSON.stringify({ accounts, refused }));
