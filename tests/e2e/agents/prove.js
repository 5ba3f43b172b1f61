// Starts the real agents as the workflows of docs/workflows start them, on what
// the action emits: each with the right token, with a wrong one, and with every
// place for the token and every connection that it can do. The model follows a
// script: it asks for a tool that is granted, then for one that is not.
//
// prove.js [AGENT...]

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { check } from "./types.js";
import { run } from "./job.js";

const GRANTED = "list_blueprints";
const REFUSED = "delete_entity";
const TOKEN = "access_token";

// Where the workflow itself says nothing, the action's defaults count.
const VARIANTS = {
  "as in docs/workflows": {},
  "token in the environment": { token_placement: "env" },
  "token in the configuration": { token_placement: "inline" },
  "through mcp-remote, token in the environment": { connection: "mcp-remote", token_placement: "env" },
  "through mcp-remote, token in the configuration": { connection: "mcp-remote", token_placement: "inline" },
};

const calls = (requests) => requests.filter(({ method }) => method === "tools/call").map(({ params }) => params.name);

// The agent connects with the token and the headers that it was given, sees the
// tools, and calls what it may.
function connects(agent, { requests, outputs }) {
  const bearer = `Bearer ${outputs[TOKEN]}`;
  assert(requests.some(({ method }) => method === "tools/list"), "it has not asked for the tools");
  for (const { headers } of requests) {
    assert.equal(headers.authorization, bearer, "a request came without the token");
    assert.equal(headers["x-read-only-mode"], "0");
    assert.equal(headers["x-allowed-actions-to-run"], "");
  }
  if (agent.model) {
    assert(calls(requests).includes(GRANTED), "the granted call has not reached the server");
  }
}

function keepsToTheList(agent, { requests, outputs }) {
  const refused = calls(requests).includes(REFUSED);
  if (agent.keepsToTheList(outputs)) {
    assert(!refused, "a call that is not granted has reached the server");
  } else {
    assert(refused, "it did keep to the list: say so in its file and in docs/agents.md");
  }
}

function isRefused(agent, { requests, status }) {
  assert(requests.some(({ headers }) => headers.authorization === "Bearer wrong"), "it has not tried to connect");
  assert.deepEqual(calls(requests), [], "a call has got through");
  if (agent.failsWithoutServer) {
    assert.notEqual(status, 0, "it went on without the server");
  }
}

async function proofs(name) {
  const { default: agent } = await import(`./real/${name}.js`);
  const script = [GRANTED, REFUSED];
  for (const [variant, inputs] of Object.entries(VARIANTS)) {
    if (agent.cannot?.some(([input, value]) => inputs[input] === value)) {
      continue;
    }
    await prove(`${name}, ${variant}: connects, and the granted call arrives`, async (log) => {
      const job = await run(name, agent, { script, inputs, log });
      connects(agent, job);
      if (agent.model) {
        await prove(`${name}, ${variant}: ${agent.keepsToTheList(job.outputs) ? "no" : "ANY"} other call arrives`, () => keepsToTheList(agent, job));
      }
    });
  }
  await prove(`${name}, wrong token: is refused`, async (log) => {
    isRefused(agent, await run(name, agent, { script, inputs: {}, log, wrongToken: true }));
  });
}

let passed = 0;
let failed = 0;

async function prove(what, proof) {
  const log = [];
  try {
    await proof(log);
    passed += 1;
    console.log(`passed  ${what}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${what}: ${error.message}\n${log.join("").slice(-4000)}`);
  }
}

const all = readdirSync(new URL("real", import.meta.url)).map((file) => file.replace(".js", ""));
const chosen = process.argv.slice(2);
for (const name of chosen.length ? chosen : all) {
  await proofs(name);
}
await check(prove, chosen);
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
