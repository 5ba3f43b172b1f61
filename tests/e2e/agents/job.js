// One job: the action's step, then the agent's, each as the workflow has it.

import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";

const repository = fileURLToPath(new URL("../../..", import.meta.url));
const programs = dirname(dirname(fileURLToPath(import.meta.resolve("yaml/package.json"))));
const LIMIT = 120_000;

// What every proof has instead of the workflow's own inputs: a name that every
// agent has to get right, and a server that offers what is not granted.
const INPUTS = { server_name: "port-prod", read_only: "false", allowed_tools: "list_blueprints" };

/**
 * Runs the workflow of an agent; returns the action's outputs and what it said, and what
 * the agent did. Against it may stand keys of `base_config`, files of the checkout, and
 * changes of the agent's step; what hostile programs leave behind are marks.
 */
export async function run(name, agent, { script, inputs, wrongToken = false, base, files, change, startsAgent = true }) {
  const root = mkdtempSync(join(tmpdir(), "port-mcp-agents-"));
  const place = (path) => {
    mkdirSync(join(root, path));
    return join(root, path);
  };
  const job = { home: place("home"), work: place("work"), temp: place("temp") };
  const marks = place("marks");
  const hostile = { server: INPUTS.server_name, mark: (mark) => join(marks, mark) };
  // So npx finds the bridge wherever a step starts it, and asks no registry.
  for (const directory of [job.work, job.temp]) {
    symlinkSync(programs, join(directory, "node_modules"));
  }
  const sandbox = await start();
  // At another address, so that it is no second way to the MCP server.
  const models = await start();
  try {
    const steps = Object.values(parse(readFileSync(join(repository, `docs/workflows/${name}.yml`), "utf8")).jobs)[0].steps;
    change?.(steps.at(-1));
    const connecting = steps.findIndex(({ id }) => id === "port");
    const given = steps[connecting].with;
    // What installs the program is not run: it is there.
    const following = steps.slice(connecting + 1).filter(({ run }) => !run?.startsWith("npm install"));
    const prepared = agent.prepare?.({ ...job, given, model: models.model(script), write: writeTo(job.home) }) ?? {};
    if (base) {
      const config = JSON.parse(prepared.base_config ?? given.base_config ?? "{}");
      prepared.base_config = JSON.stringify({ ...config, ...base({ ...hostile, mcp: sandbox.mcp }) });
    }
    const { outputs, said } = connect({ ...given, ...INPUTS, ...prepared, ...inputs }, job, sandbox);
    if (!startsAgent) {
      return { said, log: said };
    }
    // What the action itself has asked the server is no matter of the agent's.
    const before = (await sandbox.received()).length;
    const emitted = wrongToken ? withoutToken(outputs, job) : outputs;
    // Where a model is shown the names of many tools alone, the script has whole names.
    const whole = (name) => (name === agent.shell?.name ? name : outputs.allowed_tools.replace(INPUTS.allowed_tools, name));
    const names = agent.showsNamesAlone ? script.map(whole) : script;
    const model = models.model(names);
    // A hostile model asks for the same in another order.
    const otherModel = models.model([...names].reverse());
    for (const [path, content] of Object.entries(files?.({ ...hostile, mcp: sandbox.mcp, model: otherModel }) ?? {})) {
      writeTo(job.work)(path, content);
    }
    const byHand = inputs.token_placement === "env" ? { PORT_MCP_TOKEN: emitted.access_token } : {};
    let status = 0;
    let log = "";
    for (const step of following) {
      const command = step === steps.at(-1) ? agent.command : undefined;
      const ended = await runStep(agent, { ...step, run: command ?? step.run }, { emitted, job, model, byHand });
      status = ended.status;
      log += ended.log;
      if (status !== 0) {
        break;
      }
    }
    const received = [...(await sandbox.received()).slice(before), ...(await models.received())];
    const isRedirected = received.some(({ path }) => path.startsWith(`${new URL(otherModel).pathname}/`));
    return { outputs, said, status, log, received, requests: toServer(received), turns: turns(received), marks: readdirSync(marks), isRedirected };
  } finally {
    sandbox.stop();
    models.stop();
    rmSync(root, { recursive: true, force: true });
  }
}

const writeTo = (directory) => (path, value) => {
  mkdirSync(dirname(join(directory, path)), { recursive: true });
  writeFileSync(join(directory, path), typeof value === "string" ? value : JSON.stringify(value));
  return join(directory, path);
};

async function start() {
  const process = spawn(join(repository, "target/debug/fake-port"), { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  for await (const part of process.stdout) {
    said += part;
    if (said.includes("MCP_URL=") && said.endsWith("\n")) {
      break;
    }
  }
  const [, api, mcp] = said.match(/API_URL=(\S+)\nMCP_URL=(\S+)/);
  return {
    api,
    mcp,
    model: (script) => `${api}/model/${script}`,
    stop: () => process.kill(),
    received: async () => (await fetch(`${api}/control/received`)).json(),
  };
}

// How often the model was asked with tools to choose from: otherwise it is for a
// title or a summary, and no turn of the script.
function turns(received) {
  const requests = received.filter(({ method, path }) => method === "POST" && path.startsWith("/model/"));
  const tools = ({ tools = [], input = [] }) => [...tools, ...[input].flat().flatMap((item) => item.tools ?? [])];
  return requests.filter(({ body }) => tools(JSON.parse(body)).length).length;
}

// What came to the MCP server: JSON-RPC, and the headers.
function toServer(received) {
  return received
    .filter(({ method, path }) => method === "POST" && path === "/v1")
    .map(({ headers, body }) => ({ ...JSON.parse(body), headers: Object.fromEntries(headers) }));
}

// The action's step: its outputs, and what it said.
function connect(inputs, job, { api, mcp }) {
  const outputFile = join(job.temp, "outputs");
  writeFileSync(outputFile, "");
  const environment = {
    GITHUB_OUTPUT: outputFile,
    GITHUB_STATE: join(job.temp, "state"),
    GITHUB_STEP_SUMMARY: join(job.temp, "summary"),
    GITHUB_WORKSPACE: job.work,
    RUNNER_TEMP: job.temp,
  };
  writeFileSync(environment.GITHUB_STATE, "");
  writeFileSync(environment.GITHUB_STEP_SUMMARY, "");
  const credentials = { client_id: "q7Tn2vXzR4mLk9WbYc8HsJ1dFg5PaE3u", client_secret: `kJ8+vQ2/xT6&nB4=mR0%wL9"zC3-sF7_hD1~gY5.pA8` };
  for (const [input, value] of Object.entries({ ...inputs, ...credentials, api_url: api, mcp_url: mcp })) {
    environment[`INPUT_${input.toUpperCase()}`] = String(value);
  }
  const { status, stdout, stderr } = spawnSync(join(repository, "target/debug/port-mcp"), ["connect"], { env: environment, encoding: "utf8" });
  if (status !== 0) {
    throw new Error(`the action failed: ${stdout}${stderr}`);
  }
  const outputs = {};
  for (const [, name, , value] of readFileSync(outputFile, "utf8").matchAll(/^(\w+)<<(.+)\n([\s\S]*?)\n?\2$/gm)) {
    outputs[name] = value;
  }
  return { outputs, said: stdout };
}

// The outputs and the file as they would be with another token.
function withoutToken({ access_token: token, ...outputs }, job) {
  if (outputs.config_file) {
    const file = join(job.temp, outputs.config_file);
    writeFileSync(file, readFileSync(file, "utf8").replaceAll(token, "wrong"));
  }
  const changed = Object.entries(outputs).map(([name, value]) => [name, value.replaceAll(token, "wrong")]);
  return { access_token: "wrong", ...Object.fromEntries(changed) };
}

// An action of an agent's own: the stand-in that the jobs under act use too.
const actionOf = (uses) => join(repository, "tests/e2e/fake-actions", uses.split("@")[0].split("/")[1], "main.js");

// A step after the action's, with the script's model in the place of the agent's: its status.
async function runStep(agent, step, { emitted, job, model, byHand }) {
  const filled = (section) =>
    Object.fromEntries(
      Object.entries(section ?? {}).map(([name, value]) => [
        name,
        String(value).replace(/\$\{\{ *(.*?) *\}\}/g, (_, expression) => {
          const output = expression.match(/^steps\.port\.outputs\.(\w+)$/)?.[1];
          return output ? emitted[output] : expression === "runner.temp" ? job.temp : "none";
        }),
      ]),
    );
  const runner = { PATH: process.env.PATH, HOME: job.home, TERM: "dumb", CI: "true", RUNNER_TEMP: job.temp, GITHUB_WORKSPACE: job.work };
  const own = { INPUTS: JSON.stringify(filled(step.with)), NODE_PATH: programs, MODEL_URL: model };
  const environment = { ...runner, ...byHand, ...filled(step.env), ...agent.environment?.(model, writeTo(job.home)), ...(step.uses && own) };
  const command = step.uses ? ["node", actionOf(step.uses)] : ["bash", "-e", "-o", "pipefail", "-c", step.run];
  const log = [];
  const child = spawn(command[0], command.slice(1), { cwd: job.work, env: environment, stdio: ["ignore", "pipe", "pipe"] });
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (part) => log.push(part.toString()));
  }
  const timer = setTimeout(() => {
    log.push(`\nkilled after ${LIMIT} ms`);
    stopAll(job);
  }, LIMIT);
  const status = await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => resolve(code ?? signal));
  });
  clearTimeout(timer);
  stopAll(job);
  return { status, log: log.join("") };
}

// Ends whatever still runs of a job, bridges and daemons of the agent's own
// included: all of it has the job's home, which no other process has.
function stopAll({ home }) {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(`HOME=${home}`)) {
        process.kill(Number(pid), "SIGKILL");
      }
    } catch {
      // It is gone already, or another user's.
    }
  }
}
