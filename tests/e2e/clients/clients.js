// The official clients, as programs that run scripts.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { join } from "node:path";

// Where `run` installs the clients, and where cargo builds the programs.
const [installed, built] = process.argv.slice(2);
export const gateway = join(built, "port-mcp");
export const python = (major) => join(installed, `python-${major}`, "bin", "python");

const here = (file) => fileURLToPath(new URL(file, import.meta.url));

// The revisions with and without sessions. The first major versions know only the former.
const [WITH, WITHOUT] = ["2025-11-25", "2026-07-28"];
export const REVISIONS = { initialize: WITH, discover: WITHOUT };

export const CLIENTS = {
  "python 1": { command: [python(1), here("client.py")], revisions: [WITH] },
  "python 2": { command: [python(2), here("client.py")], revisions: [WITH, WITHOUT] },
  "typescript 1": { command: [process.execPath, here("client.js"), "1"], revisions: [WITH] },
  "typescript 2": { command: [process.execPath, here("client.js"), "2"], revisions: [WITH, WITHOUT] },
  rust: { command: [join(built, "examples", "mcp-client")], revisions: [WITH, WITHOUT] },
};

// Runs scripts with a client. Each connects to `url` with `headers`, and then takes its steps: a method, parameters,
// and perhaps headers of this step alone. Returns the outcomes of each script: of connecting, and of each step. `limit`
// is the time in seconds after which there is no answer, to connecting or to a step.
export async function outcomes(client, scripts) {
  const [program, ...args] = CLIENTS[client].command;
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const all = scripts.map(({ revision, ...script }) => ({
    mode: revision === WITHOUT ? "auto" : "legacy",
    headers: {},
    ...script,
    steps: script.steps.map((step) => ({ headers: {}, limit: script.limit, ...step })),
  }));
  child.stdin.end(JSON.stringify(all));
  const output = child.stdout.toArray();
  const [status] = await once(child, "close");
  if (status !== 0) {
    throw new Error(`the client ${client} exited with status ${status}`);
  }
  return JSON.parse(Buffer.concat(await output).toString());
}
