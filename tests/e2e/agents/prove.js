// Starts the real agents as the workflows of docs/workflows start them, on what
// the action emits: each with the right token, with a wrong one, and with every
// place for the token and every connection that it can do. The model follows a
// script: it asks for a tool that is granted, then for one that is not. Then some of
// them once more, against configurations and checkouts that others wrote (hostile/).
//
// prove.js [AGENT...]

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { run } from "./job.js";
import { typeErrors } from "./types.js";

const GRANTED = "list_blueprints";
const REFUSED = "delete_entity";
const SCRIPT = [GRANTED, REFUSED];

const VARIANTS = {
  "token in the configuration": { connection: "direct", token_placement: "inline" },
  "token in the environment": { connection: "direct", token_placement: "env" },
  "mcp-remote, token in the configuration": { connection: "mcp-remote", token_placement: "inline" },
  "mcp-remote, token in the environment": { connection: "mcp-remote", token_placement: "env" },
};

const WARNING = /^::warning .*`base_config`/m;

const calls = (requests) => requests.filter(({ method }) => method === "tools/call").map(({ params }) => params.name);

// The agent connects with the token and the headers that it was given, sees the
// tools, and calls what it may.
function connects(agent, { requests, outputs, status }) {
  assert(requests.some(({ method }) => method === "tools/list"), "it has not asked for the tools");
  for (const { headers } of requests) {
    assert.equal(headers.authorization, `Bearer ${outputs.access_token}`, "a request came without the token");
    assert.equal(headers["x-read-only-mode"], "0");
    assert.equal(headers["x-allowed-actions-to-run"], "");
  }
  if (agent.callsWithoutModel || agent.keepsToTheList) {
    assert(calls(requests).includes(GRANTED), "the granted call has not reached the server");
  }
  if (!agent.keepsToTheList) {
    assert.equal(status, 0, "a command of its step has failed");
  }
}

// The model has asked for both tools.
function keepsToTheList(keeps, { requests, turns }) {
  assert(turns >= SCRIPT.length, "the model has not asked for the other tool");
  assert.equal(calls(requests).includes(REFUSED), !keeps, "the list of tools did not work as its file here says");
}

function isRefused(agent, { requests, status }) {
  assert(requests.length > 0, "it has not tried to connect");
  for (const { headers } of requests) {
    assert.equal(headers.authorization, "Bearer wrong");
  }
  assert.deepEqual(calls(requests), []);
  if (agent.failsWithoutServer) {
    assert.notEqual(status, 0, "it went on without the server");
  }
}

// A model that was talked into it asks the program's own shell for the token.
function showsTheToken({ outputs, received }) {
  return received.some(({ path, body }) => path.startsWith("/model/") && body.includes(outputs.access_token.slice(1)));
}

function keepsTheToken(agent, job) {
  assert(job.turns > 0, "the model was not asked");
  assert(!showsTheToken(job), "the model was shown the token");
  if (!agent.shell.endsIt) {
    assert(calls(job.requests).includes(GRANTED), "the granted call has not reached the server");
  }
}

async function proofs(name) {
  const { default: agent } = await import(`./real/${name}.js`);
  for (const [variant, inputs] of Object.entries(VARIANTS)) {
    if (agent.expandsNothing && inputs.token_placement === "env") {
      continue;
    }
    const job = await run(name, agent, { script: SCRIPT, inputs });
    prove(`${name}, ${variant}: connects and works`, job, () => connects(agent, job));
    if (agent.keepsToTheList) {
      const keeps = agent.keepsToTheList(job.outputs);
      prove(`${name}, ${variant}: ${keeps ? "no other call arrives" : "other calls arrive, as documented"}`, job, () => keepsToTheList(keeps, job));
    }
  }
  if (agent.shell) {
    const script = [agent.shell.name, GRANTED];
    const inputs = { token_placement: "env" };
    const job = await run(name, agent, { script, inputs });
    prove(`${name}, hostile prompt (A7, A8): its shell does not show the token`, job, () => keepsTheToken(agent, job));
    const { change, base } = agent.shell;
    if (change || base) {
      const open = await run(name, agent, { script, inputs, change, base });
      prove(`${name}, hostile prompt, unprotected: its shell shows the token`, open, () => assert(showsTheToken(open)));
    }
  }
  const job = await run(name, agent, { script: SCRIPT, inputs: {}, wrongToken: true });
  prove(`${name}, wrong token: is refused`, job, () => isRefused(agent, job));
}

// What has gone wrong for those who granted the one tool: by name, in order.
function harm({ marks, requests, isRedirected }) {
  const found = {
    "no granted call": !calls(requests).includes(GRANTED),
    "another call": calls(requests).includes(REFUSED),
    "other headers": requests.some(({ headers }) => headers["x-read-only-mode"] !== "0"),
    "another model": isRedirected,
  };
  return [...Object.keys(found).filter((name) => found[name]), ...marks].sort();
}

function harmless(agent, job) {
  assert.deepEqual(harm(job), []);
  connects(agent, job);
  keepsToTheList(true, job);
}

// What hostile/ has for an agent: configurations that the action mends, those that it can
// only warn of, and a checkout, whose files do harm to each step that is open to them.
async function holds(name) {
  const { default: agent } = await import(`./real/${name}.js`);
  const { default: hostile } = await import(`./hostile/${name}.js`);
  const environment = hostile.environment ?? agent.environment;
  const against = (what) => run(name, { ...agent, environment }, { script: SCRIPT, inputs: VARIANTS["token in the environment"], ...what });
  for (const [what, base] of Object.entries(hostile.mended)) {
    const job = await against({ base });
    prove(`${name}, base_config with ${what}: the grant holds`, job, () => harmless(agent, job));
  }
  for (const [what, base] of Object.entries(hostile.warned)) {
    const job = await against({ base, startsAgent: false });
    prove(`${name}, base_config with ${what}: is warned of`, job, () => assert.match(job.said, WARNING));
  }
  if (!hostile.checkout) {
    return;
  }
  const { cases, files, reads = () => {}, moreCalls = 0, open } = hostile.checkout;
  const script = [...SCRIPT, ...Array(moreCalls).fill(GRANTED)];
  const job = await against({ script, files, change: reads });
  prove(`${name}, hostile checkout (${cases}): the grant holds`, job, () => {
    assert.doesNotMatch(job.said, WARNING);
    harmless(agent, job);
  });
  for (const [what, { harm: expected, change, ...others }] of Object.entries(open)) {
    const job = await against({ script, files, ...others, change: (step) => [reads, change].forEach((edit) => edit?.(step)) });
    prove(`${name}, hostile checkout (${cases}), ${what}: does harm`, job, () => assert.deepEqual(harm(job), expected));
  }
}

// The request that a workflow makes of a provider's API is what the provider's own
// package takes; and the package would have taken no other.
async function fits(name) {
  const { default: api } = await import(`./typed/${name}.js`);
  const job = await run(name, api, { script: SCRIPT, inputs: {} });
  const body = job.received.findLast(({ path }) => path.startsWith("/model/"))?.body;
  prove(`${name}: the request is of the type in the provider's package`, job, () => {
    assert.equal(job.status, 0, "the request failed");
    assert.equal(typeErrors(api.type, body), "");
    assert.match(typeErrors(api.type, body.replace('"type":', '"typo":')), /error TS/);
  });
}

assert(Number.parseInt(process.versions.node) >= 22, "the agents want Node 22, and npm has not installed it");

let passed = 0;
let failed = 0;

function prove(what, { log }, proof) {
  try {
    proof();
    passed += 1;
    console.log(`passed  ${what}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${what}: ${error.message}\n${log.slice(-4000)}`);
  }
}

const named = (directory) => readdirSync(new URL(directory, import.meta.url)).map((file) => file.replace(".js", ""));
const chosen = process.argv.slice(2);
const isChosen = (name) => chosen.length === 0 || chosen.includes(name);
for (const name of named("real").filter(isChosen)) {
  await proofs(name);
}
for (const name of named("hostile").filter(isChosen)) {
  await holds(name);
}
for (const name of named("typed").filter(isChosen)) {
  await fits(name);
}
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed || !passed ? 1 : 0;
