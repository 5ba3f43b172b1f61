// Runs the real agents as in the workflows in docs/workflows, on the outputs of the action:
// with every token placement and every connection that the agent supports, and with a wrong
// token. The model follows a script: it requests a granted tool, and then a tool that is not
// granted. Then runs some of the agents with hostile configurations and checkouts (hostile/).
//
// prove.js [AGENT...]

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { run } from "./job.js";
import { typeErrors } from "./types.js";

const GRANTED = "list_blueprints";
const NOT_GRANTED = "delete_entity";
const SCRIPT = [GRANTED, NOT_GRANTED];

const VARIANTS = {
  "token in the configuration": { connection: "direct", token_placement: "inline" },
  "token in the environment": { connection: "direct", token_placement: "env" },
  "mcp-remote, token in the configuration": { connection: "mcp-remote", token_placement: "inline" },
  "mcp-remote, token in the environment": { connection: "mcp-remote", token_placement: "env" },
};

const WARNING = /^::warning .*`base_config`/m;

const calls = (requests) => requests.filter(({ method }) => method === "tools/call").map(({ params }) => params.name);

// The agent connects with the token and the headers of its configuration, lists the tools,
// and calls the granted tool.
function connects(agent, { requests, outputs, status }) {
  assert(requests.some(({ method }) => method === "tools/list"), "the agent did not list the tools");
  for (const { headers } of requests) {
    assert.equal(headers.authorization, `Bearer ${outputs.access_token}`, "a request did not have the token");
    assert.equal(headers["x-read-only-mode"], "0");
    assert.equal(headers["x-allowed-actions-to-run"], "");
  }
  if (agent.callsWithoutModel || agent.enforcesTools) {
    assert(calls(requests).includes(GRANTED), "the granted call did not reach the server");
  }
  if (!agent.enforcesTools) {
    assert.equal(status, 0, "a command of the step failed");
  }
}

// The model requested both tools.
function enforcesTools(expected, { requests, turns }) {
  assert(turns >= SCRIPT.length, "the model did not request the other tool");
  assert.equal(calls(requests).includes(NOT_GRANTED), !expected, "the agent does not enforce the tools as its file states");
}

function isRejected(agent, { requests, status }) {
  assert(requests.length > 0, "the agent did not connect");
  for (const { headers } of requests) {
    assert.equal(headers.authorization, "Bearer wrong");
  }
  assert.deepEqual(calls(requests), []);
  if (agent.failsWithoutServer) {
    assert.notEqual(status, 0, "the agent continued without the server");
  }
}

// A hostile prompt makes the model request the token from the agent's shell.
function showsTheToken({ outputs, received }) {
  return received.some(({ path, body }) => path.startsWith("/model/") && body.includes(outputs.access_token.slice(1)));
}

function keepsTheToken(agent, job) {
  assert(job.turns > 0, "the model received no request");
  assert(!showsTheToken(job), "the token reached the model");
  if (!agent.shell.endsAgent) {
    assert(calls(job.requests).includes(GRANTED), "the granted call did not reach the server");
  }
}

async function endToEndTests(name) {
  const { default: agent } = await import(`./real/${name}.js`);
  for (const [variant, inputs] of Object.entries(VARIANTS)) {
    if (agent.expandsNoVariables && inputs.token_placement === "env") {
      continue;
    }
    const job = await run(name, agent, { script: SCRIPT, inputs });
    prove(`${name}, ${variant}: connects and calls the tool`, job, () => connects(agent, job));
    if (agent.enforcesTools) {
      const expected = agent.enforcesTools(job.outputs);
      const what = expected ? "other calls do not reach the server" : "other calls reach the server, as documented";
      prove(`${name}, ${variant}: ${what}`, job, () => enforcesTools(expected, job));
    }
  }
  if (agent.shell) {
    const script = [agent.shell.name, GRANTED];
    const inputs = { token_placement: "env" };
    const job = await run(name, agent, { script, inputs });
    prove(`${name}, hostile prompt (A7, A8): the shell does not print the token`, job, () => keepsTheToken(agent, job));
    const { change, base } = agent.shell;
    if (change || base) {
      const open = await run(name, agent, { script, inputs, change, base });
      prove(`${name}, hostile prompt, unprotected: the shell prints the token`, open, () => assert(showsTheToken(open)));
    }
  }
  const job = await run(name, agent, { script: SCRIPT, inputs: {}, wrongToken: true });
  prove(`${name}, wrong token: is rejected`, job, () => isRejected(agent, job));
}

// Lists violations of the grant, sorted by name.
function harm({ marks, requests, isRedirected }) {
  const found = {
    "no granted call": !calls(requests).includes(GRANTED),
    "another call": calls(requests).includes(NOT_GRANTED),
    "other headers": requests.some(({ headers }) => headers["x-read-only-mode"] !== "0"),
    "another model": isRedirected,
  };
  return [...Object.keys(found).filter((name) => found[name]), ...marks].sort();
}

function harmless(agent, job) {
  assert.deepEqual(harm(job), []);
  connects(agent, job);
  enforcesTools(true, job);
}

// Runs the tests in hostile/ for an agent: configurations that the action corrects,
// configurations that it can only warn about, and a checkout. Without the documented
// protection, the files of the checkout do harm.
async function hostileTests(name) {
  const { default: agent } = await import(`./real/${name}.js`);
  const { default: hostile } = await import(`./hostile/${name}.js`);
  const environment = hostile.environment ?? agent.environment;
  const against = (what) => run(name, { ...agent, environment }, { script: SCRIPT, inputs: VARIANTS["token in the environment"], ...what });
  for (const [what, base] of Object.entries(hostile.corrected)) {
    const job = await against({ base });
    prove(`${name}, base_config with ${what}: the grant holds`, job, () => harmless(agent, job));
  }
  for (const [what, base] of Object.entries(hostile.warned)) {
    const job = await against({ base, startsAgent: false });
    prove(`${name}, base_config with ${what}: causes a warning`, job, () => assert.match(job.stdout, WARNING));
  }
  if (!hostile.checkout) {
    return;
  }
  const { cases, files, reads = () => {}, moreCalls = 0, open } = hostile.checkout;
  const script = [...SCRIPT, ...Array(moreCalls).fill(GRANTED)];
  const job = await against({ script, files, change: reads });
  prove(`${name}, hostile checkout (${cases}): the grant holds`, job, () => {
    assert.doesNotMatch(job.stdout, WARNING);
    harmless(agent, job);
  });
  for (const [what, { harm: expected, change, ...others }] of Object.entries(open)) {
    const job = await against({ script, files, ...others, change: (step) => [reads, change].forEach((edit) => edit?.(step)) });
    prove(`${name}, hostile checkout (${cases}), ${what}: does harm`, job, () => assert.deepEqual(harm(job), expected));
  }
}

// The request of a workflow to a provider's API has the type in the provider's package, and
// the type rejects a changed request.
async function typeTests(name) {
  const { default: api } = await import(`./typed/${name}.js`);
  const job = await run(name, api, { script: SCRIPT, inputs: {} });
  const body = job.received.findLast(({ path }) => path.startsWith("/model/"))?.body;
  prove(`${name}: the request has the type in the provider's package`, job, () => {
    assert.equal(job.status, 0, "the request failed");
    assert.equal(typeErrors(api.type, body), "");
    assert.match(typeErrors(api.type, body.replace('"type":', '"typo":')), /error TS/);
  });
}

assert(Number.parseInt(process.versions.node) >= 22, "the agents require Node 22, but npm did not install it");

let passed = 0;
let failed = 0;

function prove(what, { log }, check) {
  try {
    check();
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
  await endToEndTests(name);
}
for (const name of named("hostile").filter(isChosen)) {
  await hostileTests(name);
}
for (const name of named("typed").filter(isChosen)) {
  await typeTests(name);
}
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed || !passed ? 1 : 0;
