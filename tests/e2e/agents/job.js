// Runs one job: the step of the action and then the steps of the agent, as in its workflow.

import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { startRelay } from "./relay.js";

const repository = fileURLToPath(new URL("../../..", import.meta.url));
const programs = dirname(dirname(fileURLToPath(import.meta.resolve("yaml/package.json"))));
const LIMIT = 120_000;

// Inputs that replace those of the workflow: a server name that is difficult for some
// agents, and a server that has tools that are not granted.
const INPUTS = { server_name: "port-prod", read_only: "false", allowed_tools: "list_blueprints" };

/**
 * Runs the workflow of an agent. Returns the outputs and the log of the action, what the agent
 * did, and what the post phase of the action reported. Hostile tests add keys to `base_config`
 * (`base`) and files to the checkout (`files`), or change the step of the agent (`change`).
 * Hostile programs create marks. With `otherTool`, the agent's own list contains this tool too,
 * and so does the list of tools that it gets from the gateway.
 */
export async function run(name, agent, { script, inputs, wrongToken = false, otherTool, base, files, change, startsAgent = true }) {
  const root = mkdtempSync(join(tmpdir(), "port-mcp-agents-"));
  const directory = (path) => {
    mkdirSync(join(root, path));
    return join(root, path);
  };
  const job = { home: directory("home"), work: directory("work"), temp: directory("temp") };
  const marks = directory("marks");
  const hostile = { server: INPUTS.server_name, mark: (mark) => join(marks, mark) };
  // So that npx finds the bridge wherever a step starts it, and does not use a registry.
  for (const parent of [job.work, job.temp]) {
    symlinkSync(programs, join(parent, "node_modules"));
  }
  for (const file of ["state", "summary"]) {
    writeTo(job.temp)(file, "");
  }
  const port = await start();
  // On another address, so that the model's URL does not lead to the MCP server.
  const models = await start();
  let relay;
  let result;
  let post;
  try {
    const steps = Object.values(parse(readFileSync(join(repository, `docs/workflows/${name}.yml`), "utf8")).jobs)[0].steps;
    change?.(steps.at(-1));
    const connecting = steps.findIndex(({ id }) => id === "port");
    const given = steps[connecting].with;
    // Skips steps that install programs, because the programs are already installed.
    const following = steps.slice(connecting + 1).filter(({ run }) => !run?.startsWith("npm install"));
    const prepared = agent.prepare?.({ ...job, given, model: models.model(script), write: writeTo(job.home) }) ?? {};
    if (base) {
      const config = JSON.parse(prepared.base_config ?? given.base_config ?? "{}");
      prepared.base_config = JSON.stringify({ ...config, ...base({ ...hostile, mcp: port.mcp }) });
    }
    const { outputs, stdout } = connect({ ...given, ...INPUTS, ...prepared, ...inputs }, job, port);
    if (!startsAgent) {
      return { stdout, log: stdout };
    }
    // The requests of the action itself do not count.
    const before = (await port.received()).length;
    const emitted = wrongToken ? withoutToken(outputs, job) : outputs;
    // If the agent shows the model only the names of tools, the script needs full names.
    const fullName = (name) => (name === agent.shell?.name ? name : outputs.allowed_tools.replace(INPUTS.allowed_tools, name));
    const names = agent.showsOnlyNames ? script.map(fullName) : script;
    const model = models.model(names);
    // A hostile model requests the same tools in another order.
    const otherModel = models.model([...names].reverse());
    for (const [path, content] of Object.entries(files?.({ ...hostile, mcp: port.mcp, model: otherModel }) ?? {})) {
      writeTo(job.work)(path, content);
    }
    const tokenVariable = inputs.token_placement === "env" ? { PORT_MCP_TOKEN: emitted.access_token } : {};
    let status = 0;
    let log = "";
    for (const step of following) {
      const command = step === steps.at(-1) ? agent.command : undefined;
      const ended = await runStep(agent, { ...step, run: command ?? step.run }, { emitted, job, model, tokenVariable });
      status = ended.status;
      log += ended.log;
      if (status !== 0) {
        break;
      }
    }
    const received = [...(await port.received()).slice(before), ...(await models.received())];
    const isRedirected = received.some(({ path }) => path.startsWith(`${new URL(otherModel).pathname}/`));
    return { outputs, stdout, status, log, received, requests: toServer(received), turns: turns(received), marks: readdirSync(marks), isRedirected };
  } finally {
    port.stop();
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
  let output = "";
  for await (const part of process.stdout) {
    output += part;
    if (output.includes("MCP_URL=") && output.endsWith("\n")) {
      break;
    }
  }
  const [, api, mcp] = output.match(/API_URL=(\S+)\nMCP_URL=(\S+)/);
  return {
    api,
    mcp,
    model: (script) => `${api}/model/${script}`,
    stop: () => process.kill(),
    received: async () => (await fetch(`${api}/control/received`)).json(),
  };
}

// Counts the requests to the model that contain tools. Requests without tools are for a
// title or a summary, and not for a turn of the script.
function turns(received) {
  const requests = received.filter(({ method, path }) => method === "POST" && path.startsWith("/model/"));
  const tools = ({ tools = [], input = [] }) => [...tools, ...[input].flat().flatMap((item) => item.tools ?? [])];
  return requests.filter(({ body }) => tools(JSON.parse(body)).length).length;
}

// The requests to the MCP server: JSON-RPC messages with headers.
function toServer(received) {
  return received
    .filter(({ method, path }) => method === "POST" && path === "/v1")
    .map(({ headers, body }) => ({ ...JSON.parse(body), headers: Object.fromEntries(headers) }));
}

// Runs the step of the action. Returns its outputs and its log.
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
  return { outputs, stdout };
}

// Replaces the token in the outputs and in the file.
function withoutToken({ access_token: token, ...outputs }, job) {
  if (outputs.config_file) {
    const file = join(job.temp, outputs.config_file);
    writeFileSync(file, readFileSync(file, "utf8").replaceAll(token, "wrong"));
  }
  const changed = Object.entries(outputs).map(([name, value]) => [name, value.replaceAll(token, "wrong")]);
  return { access_token: "wrong", ...Object.fromEntries(changed) };
}

// The fake action in place of an agent's own action, which the jobs under act also use.
const actionOf = (uses) => join(repository, "tests/e2e/fake-actions", uses.split("@")[0].split("/")[1], "main.js");

// Runs a step after the step of the action, with the scripted model. Returns its status and its log.
async function runStep(agent, step, { emitted, job, model, tokenVariable }) {
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
  const environment = { ...runner, ...tokenVariable, ...filled(step.env), ...agent.environment?.(model, writeTo(job.home)), ...(step.uses && own) };
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

// Stops all processes of a job, including bridges and daemons of the agent. They have the
// job's home directory, and other processes do not.
function stopAll({ home }) {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(`HOME=${home}`)) {
        process.kill(Number(pid), "SIGKILL");
      }
    } catch {
      // The process has already ended, or belongs to another user.
    }
  }
}
