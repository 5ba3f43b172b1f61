// Runs the real agents as in the workflows in docs/workflows, on the outputs of the action:
// with every token placement and every connection that the agent supports, and with a wrong
// token. The model follows a script: it requests a granted tool, and then a tool that is not
// granted. The gateway stops that call for every agent. A hostile model tries to read the token. Then
// runs some of the agents with hostile configurations and checkouts (hostile/).
//
// prove.js [AGENT...]

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { AGENTS, isExpected, reach } from "./ends.js";
import { instructionsIn } from "./instructions.js";
import { run } from "./job.js";
import { contains } from "./reads.js";
import { typeErrors } from "./types.js";

const GRANTED = "list_blueprints";
const NOT_GRANTED = "delete_entity";
const SCRIPT = [GRANTED, NOT_GRANTED];

const VARIANTS = {
  "token in the configuration": { connection: "direct", token_placement: "inline" },
  "token in the environment": { connection: "direct", token_placement: "env" },
  "mcp-remote, token in the configuration": { connection: "mcp-remote", token_placement: "inline" },
  "mcp-remote, token in the environment": { connection: "mcp-remote", token_placement: "env" },
  "gateway, key in the configuration": { connection: "gateway", token_placement: "inline" },
  "gateway, key in the environment": { connection: "gateway", token_placement: "env" },
};

const WARNING = /^::warning .*`base_config`/m;

const calls = (requests) => requests.filter(({ method }) => method === "tools/call").map(({ params }) => params.name);

// The agent connects with the token and the headers of its configuration, or through the gateway,
// which sends its own; lists the tools, and calls the granted tool.
function connects(agent, { requests, authorization, status }) {
  assert(requests.some(({ method }) => method === "tools/list"), "the agent did not list the tools");
  for (const { headers } of requests) {
    assert.equal(headers.authorization, authorization, "a request did not have Port's token");
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

// The gateway stops the other call, whether or not the agent does. The model requested both tools,
// or the step did. If there is no call, the agent shows the tools. The post phase counts the calls.
function gatewayEnforces(agent, { requests, turns, log, post }) {
  assert(turns >= SCRIPT.length || !agent.enforcesTools, "the model did not request the other tool");
  if (agent.toolsIn) {
    assert.deepEqual(agent.toolsIn(log), [GRANTED]);
  }
  assert(!calls(requests).includes(NOT_GRANTED), "the other call reached the server");
  assert.equal(post.calls, calls(requests).length, `the post phase reports other calls: ${post.stdout}`);
}

// The agent sent the other call, because its lists contain that tool.
function gatewayRejects(agent, job) {
  connects(agent, job);
  gatewayEnforces(agent, job);
  assert(job.tried > 0, "the agent did not send the other call");
  assert.match(job.post.stdout, new RegExp(`^::warning .*rejected calls .*${NOT_GRANTED}\\W+${job.tried}\\b`, "m"));
}

// Port's token is not in the agent's step, and the model does not get it.
function hidesTheToken({ outputs, log, received, authorization }) {
  const token = authorization.replace("Bearer ", "");
  const toModel = received.filter(({ path }) => path.startsWith("/model/"));
  assert(!contains(JSON.stringify([outputs, log, toModel]), token), "the agent has Port's token");
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

// A part of the token is in a request to the model.
function showsTheToken({ outputs, received }) {
  return received.some(({ path, body }) => path.startsWith("/model/") && contains(body, outputs.access_token));
}

// The model made all calls, and none of them returned a part of the token.
function keepsTheToken(job) {
  assert.equal(job.status, 0, "a command of the step failed");
  assert(calls(job.requests).includes(GRANTED), "the model did not make all calls");
  assert(!showsTheToken(job), "the token reached the model");
}

// The agent's own tools that the model was offered in a job, next to Port's granted tool. Also those that an agent
// only names in a text, from which the model can load them.
function ownTools(agent, { offered, received }) {
  const all = [...new Set([...offered, ...(agent.moreTools?.(received) ?? [])])];
  const own = all.filter((tool) => !tool.endsWith(GRANTED));
  assert.equal(all.length - own.length, 1, "the model was not offered Port's tool once");
  return own.sort();
}

// Whether the page of the agent begins with a warning that the model can read the token.
function warns(name) {
  const page = readFileSync(new URL(`../../../docs/agents/${name}.md`, import.meta.url), "utf8");
  return page.split("\n\n")[1].includes("the model can read the token");
}

// A hostile model calls each tool to read the token, wherever the job has it. Without a documented
// protection, it succeeds. Behind the gateway, it then only gets the key.
async function readTests(name, agent) {
  const { tools, hidden = [], also = {}, switchedOff = {}, unprotected = {} } = agent;
  const gateway = { connection: "gateway" };
  const attack = (workflow, { inputs = {}, ...others } = {}) => run(workflow, agent, { script: [GRANTED], inputs, reads: tools, ...others });
  const listed = Object.keys(tools).filter((tool) => !hidden.includes(tool)).sort();
  const equalsTheList = (job) => assert.deepEqual(ownTools(agent, job), listed);
  if (warns(name)) {
    const job = await attack(name);
    prove(`${name}, hostile model: reads the token, as the page says`, job, () => assert(showsTheToken(job)));
    // Directly, it also has all of Port's tools.
    const behind = await run(name, agent, { script: [GRANTED], inputs: gateway });
    prove(`${name}, gateway: the model has exactly the listed tools`, behind, () => equalsTheList(behind));
    return;
  }
  for (const [variant, inputs] of Object.entries({ direct: {}, gateway })) {
    const job = await attack(name, { inputs });
    prove(`${name}, ${variant}, hostile model: no tool reads the token`, job, () => keepsTheToken(job));
    prove(`${name}, ${variant}: the model has exactly the listed tools`, job, () => equalsTheList(job));
  }
  for (const [what, { tools: more, ...others }] of Object.entries(switchedOff)) {
    const job = await run(name, agent, { script: [GRANTED], inputs: {}, ...others });
    prove(`${name}, ${what}: the model also has ${more.join(", ")}`, job, () => assert.deepEqual(ownTools(agent, job), [...listed, ...more].sort()));
  }
  for (const [what, { workflow = name, ...others }] of Object.entries(also)) {
    const job = await attack(workflow, others);
    prove(`${name}, ${what}, hostile model: no tool reads the token`, job, () => keepsTheToken(job));
  }
  for (const [what, { tools: reads = tools, inputs, ...others }] of Object.entries(unprotected)) {
    const open = await attack(name, { reads, inputs, ...others });
    prove(`${name}, ${what}, hostile model: reads the token`, open, () => assert(showsTheToken(open)));
    const behind = await attack(name, { reads, inputs: { ...inputs, ...gateway }, ...others });
    prove(`${name}, ${what}, gateway, hostile model: reads only the key`, behind, () => {
      assert(showsTheToken(behind));
      hidesTheToken(behind);
    });
  }
}

// A prompt is only text, whatever it begins with and whatever it contains. Amp has no model here: it only
// accepts the prompt.
async function promptTests(name) {
  const { default: agent } = await import(`./real/${name}.js`);
  const { slashCommand, insertsFiles = [], acceptsPrompt, callsWithoutModel } = agent;
  if (callsWithoutModel) {
    return;
  }
  const contents = { "README.md": "in the workspace", "another file": "outside of it" };
  const ask = (prompt) => run(name, agent, { script: [GRANTED], inputs: {}, prompt, files: () => ({ "README.md": contents["README.md"] }) });
  const prompts = {
    "an option, a line `EOF`, and 100 KB": `-x\nEOF\n${"long ".repeat(20_480)}text`,
    "only `--`": "--",
    ...(slashCommand && { "a command": slashCommand, "a command and text": `${slashCommand} and then more` }),
  };
  for (const [what, prompt] of Object.entries(prompts)) {
    const job = await ask(prompt);
    if (acceptsPrompt) {
      prove(`${name}, prompt with ${what}: is accepted`, job, () => assert(acceptsPrompt(job.log)));
    } else {
      prove(`${name}, prompt with ${what}: is text`, job, () => isText(agent, prompt, job));
    }
  }
  if (acceptsPrompt) {
    return;
  }
  const directory = mkdtempSync(join(tmpdir(), "port-mcp-prompt-"));
  writeFileSync(join(directory, "another"), contents["another file"]);
  const prompt = `@README.md and @${directory}/another`;
  const job = await ask(prompt);
  rmSync(directory, { recursive: true });
  const result = insertsFiles.length ? `inserts ${insertsFiles.join(" and ")}, as documented` : "inserts no file";
  prove(`${name}, prompt with names of files: ${result}`, job, () => {
    const inserted = Object.keys(contents).filter((file) => texts(job.first).some((text) => text.includes(contents[file])));
    assert.deepEqual(inserted, insertsFiles);
    if (!insertsFiles.length) {
      isText(agent, prompt, job);
    }
  });
}

// All texts in a request.
const texts = (value) => (typeof value === "string" ? [value] : Object.values(value ?? {}).flatMap(texts));

// The model gets the whole prompt, only with whitespace around it, and Port's tool, or can list it.
function isText({ moreTools }, prompt, { first, status }) {
  assert.equal(status, 0, "a command of the step failed");
  const isPrompt = (text) => text.endsWith(prompt) && !/\S$/.test(text.slice(0, -prompt.length));
  assert(texts(first).some((text) => isPrompt(text.trimEnd())), "the prompt did not reach the model");
  assert(moreTools || texts(first).some((text) => text.includes(GRANTED)), "the model did not get the tool");
}

// `answer` reads what the program writes at each of its ends. tests/action/recorded has these files: a program that writes
// another format fails here, and record.js then records it.
async function answerTests(name) {
  for (const [end, expected] of Object.entries(AGENTS[name]?.ends ?? {})) {
    const result = await reach(name, end);
    prove(`${name}, ${end}: \`answer\` ${expected.passes ? "passes the answer on" : "fails"}`, result, () => {
      assert(isExpected(expected, result), JSON.stringify(result));
    });
  }
}

async function endToEndTests(name) {
  const { default: agent } = await import(`./real/${name}.js`);
  for (const [variant, inputs] of Object.entries(VARIANTS)) {
    if (agent.expandsNoVariables && inputs.token_placement === "env") {
      continue;
    }
    const isGateway = inputs.connection === "gateway";
    const change = isGateway ? agent.callsTheOther : undefined;
    const job = await run(name, agent, { script: SCRIPT, inputs, change });
    prove(`${name}, ${variant}: connects and calls the tool`, job, () => connects(agent, job));
    if (isGateway) {
      prove(`${name}, ${variant}: other calls do not reach the server`, job, () => gatewayEnforces(agent, job));
      prove(`${name}, ${variant}: the agent does not have Port's token`, job, () => hidesTheToken(job));
    } else if (agent.enforcesTools) {
      const expected = agent.enforcesTools(job.outputs);
      const what = expected ? "other calls do not reach the server" : "other calls reach the server, as documented";
      prove(`${name}, ${variant}: ${what}`, job, () => enforcesTools(expected, job));
    }
  }
  if (agent.enforcesTools || agent.callsTheOther) {
    const inputs = VARIANTS["gateway, key in the configuration"];
    const job = await run(name, agent, { script: SCRIPT, inputs, otherTool: NOT_GRANTED, change: agent.callsTheOther });
    prove(`${name}, gateway, lists that contain another tool: the gateway rejects its call`, job, () => gatewayRejects(agent, job));
  }
  if (agent.tools) {
    await readTests(name, agent);
  }
  const job = await run(name, agent, { script: SCRIPT, inputs: {}, wrongToken: true });
  prove(`${name}, wrong token: is rejected`, job, () => isRejected(agent, job));
}

// Lists violations of the grant, what the programs of a checkout did, and the files of a checkout
// that reached the model, sorted by name.
function harm(agent, { marks, requests, received, isRedirected }) {
  const found = {
    "no granted call": agent.enforcesTools && !calls(requests).includes(GRANTED),
    "another call": calls(requests).includes(NOT_GRANTED),
    "other headers": requests.some(({ headers }) => headers["x-read-only-mode"] !== "0"),
    "another model": isRedirected,
  };
  return [...Object.keys(found).filter((name) => found[name]), ...marks, ...instructionsIn(received)].sort();
}

// `documented` is the harm that the page of the agent states.
function harmless(agent, job, documented = []) {
  assert.deepEqual(harm(agent, job), documented);
  connects(agent, job);
  if (agent.enforcesTools) {
    enforcesTools(!documented.includes("another call"), job);
  }
}

// The violations that the gateway prevents, also if the agent permits them.
const PREVENTED = ["another call", "other headers"];

// A second connection of the agent leads to Port, but the gateway's key is worthless there.
function keyIsWorthless(agent, { requests, authorization, outputs, ...job }) {
  const key = `Bearer ${outputs.access_token}`;
  const second = requests.filter(({ headers }) => headers.authorization === key);
  assert(second.length > 0, "the agent did not use the second connection");
  assert.deepEqual(calls(second), []);
  const others = requests.filter((request) => !second.includes(request));
  const first = { ...job, requests: others, authorization, outputs };
  harmless(agent, first);
  gatewayEnforces(agent, first);
}

// Runs the tests in hostile/ for an agent, directly and through the gateway: configurations that
// the action corrects, configurations that it can only warn about (some with the harm that they do),
// and a checkout. Without the documented protection, the files of the checkout do harm, and reach the
// model. Runs the documented step, as `reads` changes it. The reusable workflow must do no more harm
// than `reusable`.
async function hostileTests(name) {
  const { default: agent } = await import(`./real/${name}.js`);
  const { default: hostile } = await import(`./hostile/${name}.js`);
  const { warned = {}, harmful = {}, corrected = {}, environment = agent.environment } = hostile;
  const attack = (inputs, what) => run(name, { ...agent, environment, command: undefined }, { script: SCRIPT, inputs, ...what });
  for (const [what, base] of Object.entries(warned)) {
    const job = await attack(VARIANTS["token in the environment"], { base, startsAgent: false });
    prove(`${name}, base_config with ${what}: causes a warning`, job, () => assert.match(job.stdout, WARNING));
  }
  for (const [what, { harm: expected, ...others }] of Object.entries(harmful)) {
    const job = await attack(VARIANTS["token in the environment"], others);
    prove(`${name}, base_config with ${what}: causes a warning, and does harm`, job, () => {
      assert.match(job.stdout, WARNING);
      assert.deepEqual(harm(agent, job), expected);
    });
  }
  const place = agent.expandsNoVariables ? "configuration" : "environment";
  for (const variant of [`token in the ${place}`, `gateway, key in the ${place}`]) {
    const inputs = VARIANTS[variant];
    const isGateway = inputs.connection === "gateway";
    const against = ({ inputs: others, ...what }) => attack({ ...inputs, ...others }, what);
    const possible = (all) => all.filter((violation) => !isGateway || !PREVENTED.includes(violation));
    const title = isGateway ? `${name}, gateway` : name;
    const holds = (job, documented = []) => {
      harmless(agent, job, possible(documented));
      if (isGateway) {
        gatewayEnforces(agent, job);
        hidesTheToken(job);
      }
    };
    for (const [what, base] of Object.entries(corrected)) {
      const job = await against({ base });
      prove(`${title}, base_config with ${what}: the grant holds`, job, () => holds(job));
    }
    const second = Object.entries(warned).filter(([what]) => isGateway && what.startsWith("a second connection"));
    for (const [what, base] of second) {
      const job = await against({ base });
      prove(`${title}, base_config with ${what}: Port rejects the key`, job, () => keyIsWorthless(agent, job));
    }
    if (!hostile.checkout) {
      continue;
    }
    const { files, reads = () => {}, moreCalls = 0, documented, open, reusable } = hostile.checkout;
    const script = [...SCRIPT, ...Array(moreCalls).fill(GRANTED)];
    const job = await against({ script, files, change: reads });
    prove(`${title}, hostile checkout: the grant holds`, job, () => {
      assert.doesNotMatch(job.stdout, WARNING);
      holds(job, documented);
    });
    for (const [what, { harm: all, change, ...others }] of Object.entries(open)) {
      const expected = possible(all).sort();
      const job = await against({ script, files, ...others, change: (...steps) => [reads, change].forEach((edit) => edit?.(...steps)) });
      const result = expected.length ? "does harm" : "the gateway prevents the harm";
      prove(`${title}, hostile checkout, ${what}: ${result}`, job, () => assert.deepEqual(harm(agent, job), expected));
    }
    if (reusable && isGateway) {
      const job = await against({ script, files, prompt: "List all blueprints." });
      prove(`${title}, hostile checkout, reusable workflow: the grant holds`, job, () => holds(job, reusable));
    }
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
const testsOf = (directory, ...tests) =>
  named(directory)
    .filter(isChosen)
    .map((name) => async () => {
      for (const test of tests) {
        await test(name);
      }
    });
const queue = [
  ...testsOf("real", endToEndTests, promptTests, answerTests),
  ...testsOf("hostile", hostileTests),
  ...testsOf("typed", typeTests),
];
// Agents wait for their models and servers most of the time.
const workers = Array.from({ length: Math.min(availableParallelism(), 4) }, async () => {
  for (let tests = queue.shift(); tests; tests = queue.shift()) {
    await tests();
  }
});
await Promise.all(workers);
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed || !passed ? 1 : 0;
