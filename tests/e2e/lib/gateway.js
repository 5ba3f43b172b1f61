// Starts a gateway without the step, and the servers that a test needs.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";

const processes = [];

// Starts a process, and returns the line of JSON that it prints first.
export async function start(program, args, input) {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  processes.push(child);
  child.stdin.end(input);
  const lines = createInterface({ input: child.stdout });
  const failed = once(child, "exit").then(([code]) => {
    throw new Error(`${program} exited with status ${code}`);
  });
  const [line] = await Promise.race([once(lines, "line"), failed]);
  failed.catch(() => {});
  return JSON.parse(line);
}

// Ends all processes that `start` started.
export function end() {
  processes.forEach((child) => child.kill());
}

// Starts a gateway that lets these tools of an MCP server pass. Returns its URL, its key, and `stop`, which returns
// its counts. The defaults are for a server that accepts every token.
export async function startGateway(program, mcp_url, tools, { api_url, token } = {}) {
  const [key, stop_key] = [randomBytes(32).toString("hex"), randomBytes(32).toString("hex")];
  const all = {
    credentials: { client_id: "e2e", client_secret: "e2e-secret" },
    endpoints: { region: null, api: api_url ?? mcp_url, mcp: mcp_url },
    auth_method: { Only: "Rest" },
    token: { secret: token ?? "e2e-token", valid_for: null, flow: "Rest" },
    headers: [
      ["x-read-only-mode", "1"],
      ["x-allowed-actions-to-run", ""],
    ],
    grants: Object.fromEntries(tools.map((tool) => [tool, "any"])),
    key,
    lifetime: { secs: 3600, nanos: 0 },
    proxy: null,
    ca_certificates: [],
    audit_arguments: false,
    start: { version: "0", agent: "generic", connection: "gateway" },
    run: null,
    placement: { listen: "127.0.0.1:0", hosts: [], stop_key, audit_output: false, audit_files: [] },
  };
  const { url, error } = await start(program, ["gateway"], `${JSON.stringify(all)}\n`);
  if (error) {
    throw new Error(`the gateway did not start: ${error}`);
  }
  const stop = async () => {
    const headers = { authorization: `Bearer ${stop_key}` };
    return (await fetch(new URL("/stop", url), { method: "POST", headers })).json();
  };
  return { url, key, stop };
}
