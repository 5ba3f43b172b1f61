// Sends what the gateway rejects with each official client. The client must show the reason, and its session must
// still work.
//
// rejections.js INSTALLED BUILT API_URL MCP_URL, with the token in PORT_TOKEN

import { end, startGateway } from "../lib/gateway.js";
import { CLIENTS, gateway, outcomes } from "./clients.js";

const [api_url, mcp_url] = process.argv.slice(4);
const GRANTED = "list_blueprints";
const NOT_GRANTED = "delete_entity";
// In seconds.
const LIMIT = 30;

const nested = (levels) => (levels ? { a: nested(levels - 1) } : {});
const call = (name, args = {}) => ({ method: "tools/call", params: { name, arguments: args } });

// By what is rejected: the step, and what the reason contains.
const REJECTED = {
  "arguments of 70 levels": [call(GRANTED, nested(70)), /levels/],
  "arguments of 5 MB": [call(GRANTED, { text: "x".repeat(5e6) }), /too large/],
  "a header that names another tool": [{ ...call(GRANTED), headers: { "mcp-name": NOT_GRANTED } }, /mcp-name/i],
  "a tool that is not granted": [call(NOT_GRANTED), new RegExp(NOT_GRANTED)],
  // Nobody waits for a response to it.
  "a notification of 5 MB": [
    { method: "notifications/progress", params: { progressToken: "x", progress: 1, message: "x".repeat(5e6) } },
    /^a result$/,
  ],
  "a method that is not allowed": [{ method: "prompts/list", params: {} }, /prompts\/list/],
};

// Their own words for an error of the server.
const PREFIX = /^(MCP error|Mcp error:) -\d+: /;
// What they show instead of its message.
const RAW = /POSTing|Transport|jsonrpc|no answer|the session has ended/;

// The specification asks for status 404, whose body this client shows as it is.
const SHOWN_RAW = "typescript 2, 2026-07-28: a method that is not allowed";

// The Rust client cannot set headers for one request.
const can = (client, [step]) => client !== "rust" || !step.headers;

async function reject(client, revision, { url, key }) {
  const cases = Object.entries(REJECTED).filter(([, rejected]) => can(client, rejected));
  const steps = [call(GRANTED), ...cases.flatMap(([, [step]]) => [step, call(GRANTED)])];
  const script = { url, revision, headers: { authorization: `Bearer ${key}` }, limit: LIMIT, steps };
  const [[connected, first, ...rest]] = await outcomes(client, [script]);
  if (connected !== "a result") {
    return { reasons: [], problems: [`${client}, ${revision}: connecting: ${connected}`] };
  }
  const problems = first === "a result" ? [] : [`the first call: ${first}`];
  const reasons = cases.map(([name, [, pattern]], index) => {
    const [rejected, next] = rest.slice(2 * index, 2 * index + 2);
    const isRaw = RAW.test(rejected) && `${client}, ${revision}: ${name}` !== SHOWN_RAW;
    if (isRaw || !pattern.test(rejected)) {
      problems.push(`${name}: the client shows "${rejected}"`);
    }
    if (next !== "a result") {
      problems.push(`${name}: the next call: ${next}`);
    }
    return [name, rejected?.replace(PREFIX, "").replace(/column \d+/, "column …")];
  });
  return { reasons, problems: problems.map((problem) => `${client}, ${revision}: ${problem}`) };
}

try {
  const settings = { api_url, token: process.env.PORT_TOKEN };
  const started = await startGateway(gateway, mcp_url, [GRANTED], settings);
  const pairs = Object.entries(CLIENTS).flatMap(([client, { revisions }]) =>
    revisions.map((revision) => [client, revision]),
  );
  const results = await Promise.all(pairs.map((pair) => reject(...pair, started)));
  const problems = results.flatMap(({ problems }) => problems);
  const shown = new Set(results.flatMap(({ reasons }) => reasons.map(([name, reason]) => `${name}: ${reason}`)));
  console.log([...shown].sort().join("\n"));
  if (problems.length) {
    console.error(problems.join("\n"));
    process.exitCode = 1;
  }
} finally {
  end();
}
