// Makes types of the document with openapi-typescript, compiles client.ts with them and runs it. Run in a folder with the packages.
// Arguments: the OpenAPI document, a folder for the client, a customer, and ids of accounts, the last of them unknown. From the
// environment: KHATA_API_URL, KHATA_API_KEY. Prints one line of JSON: the accounts as the client read them, and the code of the
// error for the unknown one.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const [document, folder, ...call] = process.argv.slice(2);
const modules = resolve("node_modules");
const here = dirname(fileURLToPath(import.meta.url));

function run(...command) {
  const done = spawnSync(process.execPath, command, { cwd: folder, encoding: "utf8" });
  if (done.status !== 0) throw new Error(`${command[0]}: ${done.stdout}${done.stderr}`);
  return done.stdout;
}

mkdirSync(folder, { recursive: true });
symlinkSync(modules, join(folder, "node_modules"));
copyFileSync(join(here, "client.ts"), join(folder, "client.ts"));
writeFileSync(join(folder, "package.json"), '{"type":"module"}');
run(join(modules, "openapi-typescript/bin/cli.js"), document, "--output", "schema.d.ts");
const options = ["--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--module", "nodenext", "--skipLibCheck"];
run(join(modules, "typescript/bin/tsc"), ...options, "client.ts");
process.stdout.write(run("client.js", ...call));
