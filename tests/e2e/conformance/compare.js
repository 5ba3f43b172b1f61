// Runs the official conformance suite against an MCP server, directly and through the gateway with all tools
// granted, and compares the result of every check.
//
// compare.js GATEWAY SUITE DIRECTORY

import { spawn } from "node:child_process";
import { createServer, request as send } from "node:http";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";

import { end, start, startGateway } from "../lib/gateway.js";

const [gateway, suite, directory] = process.argv.slice(2);

// The first revision has sessions, the second does not.
const REVISIONS = ["2025-11-25", "2026-07-28"];
const TIME_LIMIT = 120_000;

// The checks that differ, by the reason.
const reasons = JSON.parse(readFileSync(new URL("expected.json", import.meta.url)));
const expected = new Set(Object.values(reasons).flat());

// The suite cannot send a header, so a relay adds the key. It passes everything else as it is, except a `Host` that
// names the relay.
async function relay(target, key) {
  const server = createServer((request, response) => {
    const { host } = request.headers;
    const headers = request.rawHeaders
      .flatMap((name, index, all) => (index % 2 ? [] : [[name, all[index + 1]]]))
      .filter(([name]) => name.toLowerCase() !== "host")
      .flat();
    const own = [`127.0.0.1:${server.address().port}`, `localhost:${server.address().port}`];
    headers.push("Host", own.includes(host) ? target.host : host, "Authorization", `Bearer ${key}`);
    const forwarded = send(target, { method: request.method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
      answer.on("error", () => response.destroy());
    });
    forwarded.on("error", () => response.destroy());
    response.on("close", () => forwarded.destroy());
    request.pipe(forwarded);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, url: `http://127.0.0.1:${server.address().port}/mcp` };
}

// Runs the suite, and returns the results by revision, scenario, and check.
async function run(name, url) {
  const results = new Map();
  const statuses = [];
  for (const revision of REVISIONS) {
    const output = join(directory, name, revision);
    mkdirSync(output, { recursive: true });
    const args = [suite, "server", "--url", url, "--requirements", revision, "--output-dir", output];
    const child = spawn(process.execPath, args, { timeout: TIME_LIMIT, stdio: ["ignore", "pipe", "pipe"] });
    const log = [];
    child.stdout.on("data", (data) => log.push(data));
    child.stderr.on("data", (data) => log.push(data));
    const [status, signal] = await once(child, "close");
    writeFileSync(join(output, "log"), Buffer.concat(log));
    if (signal) {
      throw new Error(`the suite did not end within ${TIME_LIMIT} ms`);
    }
    statuses.push(status);
    const before = results.size;
    for (const entry of readdirSync(output)) {
      const scenario = /^server-(.*)-\d{4}-\d\d-\d\dT/.exec(entry)?.[1];
      if (scenario) {
        results.set(`${revision} ${scenario}`, checks(join(output, entry, "checks.json")));
      }
    }
    if (results.size === before) {
      throw new Error(`the suite exited with status ${status}:\n${Buffer.concat(log)}`);
    }
  }
  return { results, passes: statuses.every((status) => status === 0) };
}

// The results of the checks of a scenario. A check can occur more than once.
function checks(file) {
  const found = new Map();
  for (const { id, status, errorMessage } of JSON.parse(readFileSync(file))) {
    let name = id;
    for (let count = 2; found.has(name); count++) {
      name = `${id} (${count})`;
    }
    found.set(name, { status, errorMessage });
  }
  return found;
}

const count = (results, status) => [...results.values()].filter((result) => result.status === status).length;
const shown = (results) => `${count(results, "SUCCESS")} passed, ${count(results, "FAILURE")} failed`;

// Prints both results of every scenario, and returns what differs unexpectedly, and what does not differ as expected.
function compare(direct, through) {
  const problems = [];
  const differing = new Set();
  for (const scenario of new Set([...direct.keys(), ...through.keys()])) {
    const [one, other] = [direct, through].map((results) => results.get(scenario) ?? new Map());
    let note = "equal";
    for (const check of new Set([...one.keys(), ...other.keys()])) {
      const [before, after] = [one, other].map((results) => results.get(check) ?? { status: "absent" });
      if (before.status === after.status) {
        continue;
      }
      const name = `${scenario}: ${check}`;
      differing.add(name);
      if (expected.has(name)) {
        note = note === "equal" ? "differs as expected" : note;
      } else {
        note = "UNEXPECTED";
        problems.push(`${name}: ${before.status} directly, ${after.status} through: ${after.errorMessage ?? ""}`);
      }
    }
    if (note === "equal" && count(one, "FAILURE")) {
      note = "equal: the server does not support this extension";
    }
    console.log(`${scenario.padEnd(62)} ${shown(one).padEnd(22)} ${shown(other).padEnd(22)} ${note}`);
  }
  const equal = [...expected].filter((name) => !differing.has(name));
  return [...problems, ...equal.map((name) => `${name}: does not differ, so remove it from expected.json`)];
}

let server;
try {
  const upstream = await start(process.execPath, [new URL("upstream.js", import.meta.url).pathname]);
  const { url, key, stop } = await startGateway(gateway, upstream.url, upstream.tools);
  const relayed = await relay(new URL(url), key);
  server = relayed.server;

  const direct = await run("direct", upstream.url);
  const through = await run("gateway", relayed.url);
  const problems = compare(direct.results, through.results);
  if (!direct.passes) {
    problems.unshift("a required scenario fails without the gateway");
  }
  if (problems.length) {
    console.error(problems.join("\n"));
    process.exitCode = 1;
  }
  const total = ({ results }) => [...results.values()].reduce((sum, checks) => sum + count(checks, "SUCCESS"), 0);
  console.log(`passed checks: ${total(direct)} directly, ${total(through)} through the gateway`);
  const { sessions, tools } = await stop();
  const calls = Object.values(tools).reduce((sum, tool) => sum + tool.calls, 0);
  console.log(`the gateway counted ${sessions} sessions and ${calls} calls`);
} finally {
  server?.close();
  server?.closeAllConnections();
  end();
}
