// Runs one job: the step of the action and then the steps of the agent, as in its workflow.

import { spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { HOSTS, startRelay } from "./relay.js";
import { attempts, links } from "./reads.js";

const repository = fileURLToPath(new URL("../../..", import.meta.url));
const programs = dirname(dirname(fileURLToPath(import.meta.resolve("yaml/package.json"))));
const LIMIT = 120_000;

// Inputs that replace those of the workflow: a server name that is difficult for some
// agents, and a server that has tools that are not granted. If these tests are interrupted, no
// gateway remains for long.
const INPUTS = { server_name: "port-prod", read_only: "false", allowed_tools: "list_blueprints", gateway_lifetime: "10m" };

/**
 * Runs the workflow of an agent. Returns the outputs and the log of the action, what the agent
 * did, and what the post phase of the action reported. Hostile tests add keys to `base_config`
 * (`base`) and files to the checkout (`files`), or change the step of the agent (`change`).
 * Hostile programs create marks. With `otherTool`, the agent's own list contains this tool too,
 * and so does the list of tools that it gets from the gateway. With `reads`, the model first calls
 * these tools to read the token. `change` also gets all steps after the step of the action. With `prompt`,
 * the agent gets this prompt, from the reusable workflow if it runs this agent. `ended` gets the directories of the job
 * when the agent has ended.
 */
export async function run(name, agent, { script, inputs, wrongToken = false, otherTool, base, files, change, reads, prompt, startsAgent = true, ended }) {
  const root = mkdtempSync(join(tmpdir(), "port-mcp-agents-"));
  const directory = (path) => {
    mkdirSync(join(root, path));
    return join(root, path);
  };
  const job = { home: directory("home"), work: directory("work"), temp: directory("temp") };
  // As GitHub's runner names them. The second is the home directory in the container of the action.
  job.commands = directory("temp/_runner_file_commands");
  directory("temp/_github_home");
  const scriptFile = join(root, "script.json");
  const marks = directory("marks");
  const hostile = { server: INPUTS.server_name, mark: (mark) => join(marks, mark) };
  // So that npx finds the bridge wherever a step starts it, and does not use a registry.
  for (const parent of [job.work, job.temp]) {
    symlinkSync(programs, join(parent, "node_modules"));
  }
  if (reads) {
    for (const [name, target] of Object.entries(links(job))) {
      symlinkSync(target, join(job.work, name));
    }
  }
  const port = await start();
  // On another address, so that the model's URL does not lead to the MCP server.
  const models = await start();
  let relay;
  try {
    const reusable = prompt === undefined ? undefined : callOf(name, prompt);
    const { steps } = reusable ?? jobIn(`docs/workflows/${name}.yml`);
    const contexts = { inputs: reusable?.inputs, runner: { temp: job.temp }, secrets: ANY, vars: ANY, github: ANY, format };
    const connecting = steps.findIndex(({ id }) => id === "port");
    const given = filled(steps[connecting].with, contexts);
    // Skips steps that install programs, because the programs are already installed, and steps
    // after the agent.
    const following = steps.slice(connecting + 1).filter(({ run, uses }) => !run?.startsWith("npm install") && !/^actions\/|\/answer@/.test(uses));
    if (prompt !== undefined && !reusable) {
      following.at(-1).env.PROMPT = prompt;
    }
    change?.(following.at(-1), following);
    const prepared = agent.prepare?.({ ...job, given, model: models.model(reads ? scriptFile : script), write: writeTo(job.home) }) ?? {};
    if (base) {
      const config = JSON.parse(prepared.base_config ?? given.base_config ?? "{}");
      prepared.base_config = JSON.stringify({ ...config, ...base({ ...hostile, mcp: port.mcp }) });
    }
    const { outputs, stdout } = connect({ ...given, ...INPUTS, ...prepared, ...inputs }, job, port);
    if (!startsAgent) {
      return { stdout, log: stdout };
    }
    // The requests of the action itself have Port's token.
    const [{ headers: { authorization } }] = toServer(await port.received());
    let emitted = outputs;
    if (wrongToken) {
      emitted = replaced(outputs, job, outputs.access_token, "wrong");
    }
    if (otherTool) {
      // A configuration with more tools, with the gateway's key, and with the URL of a relay to it.
      relay = await startRelay(outputs.mcp_url, otherTool);
      const direct = { connection: "direct", allowed_tools: `${INPUTS.allowed_tools}, ${otherTool}` };
      const wider = connect({ ...given, ...INPUTS, ...prepared, ...inputs, ...direct }, job, port).outputs;
      const withKey = replaced(wider, job, wider.access_token, outputs.access_token);
      emitted = replaced(withKey, job, wider.mcp_url, relay.url);
      job.hosts = join(root, "hosts");
      writeFileSync(job.hosts, HOSTS);
    }
    // The requests of the action itself do not count.
    const before = (await port.received()).length;
    // If the agent shows the model only the names of tools, the script needs full names. A number is a status.
    const fullName = (name) => (/^\d+$/.test(name) ? name : outputs.allowed_tools.replace(INPUTS.allowed_tools, name));
    const names = agent.showsOnlyNames ? script.map(fullName) : script;
    const model = models.model(reads ? scriptFile : names);
    // A hostile model requests the same tools in another order.
    const otherModel = models.model([...names].reverse());
    for (const [path, content] of Object.entries(files?.({ ...hostile, mcp: outputs.mcp_url, model: otherModel }) ?? {})) {
      writeTo(job.work)(path, content);
    }
    const writeScript = (pid) => {
      const calls = [...attempts(reads, { ...job, pid }), ...names.map((tool) => ({ tool }))];
      writeFileSync(scriptFile, JSON.stringify(calls));
    };
    let status = 0;
    let log = "";
    for (const step of following) {
      const command = step === following.at(-1) && prompt === undefined ? agent.command : undefined;
      const ended = await runStep(agent, { ...step, run: command ?? step.run }, { contexts: { ...contexts, steps: { port: { outputs: emitted } } }, job, model, started: reads && writeScript });
      status = ended.status;
      log += ended.log;
      if (status !== 0) {
        break;
      }
    }
    const received = [...(await port.received()).slice(before), ...(await models.received())];
    const isRedirected = received.some(({ path }) => path.startsWith(`${new URL(otherModel).pathname}/`));
    return {
      outputs,
      stdout,
      status,
      log,
      received,
      requests: toServer(received),
      authorization,
      turns: turns(received).length,
      first: turns(received)[0],
      offered: offered(received),
      marks: readdirSync(marks),
      isRedirected,
      tried: relay?.tried(),
      ended: ended?.(job),
      post: await cleanUp(job),
    };
  } finally {
    // If it failed before.
    await cleanUp(job);
    relay?.stop();
    port.stop();
    models.stop();
    rmSync(root, { recursive: true, force: true });
  }
}

const jobIn = (workflow) => {
  const { on, jobs } = parse(readFileSync(join(repository, workflow), "utf8"));
  return { on, ...Object.values(jobs)[0] };
};

// The inputs and the steps of the reusable workflow if it runs this agent. The program is already installed.
function callOf(agent, prompt) {
  const { on, steps } = jobIn(".github/workflows/port-agent.yml");
  const [first, last] = ["port", agent].map((step) => steps.findIndex(({ id }) => id === step));
  if (last < 0) {
    return undefined;
  }
  const defaults = Object.entries(on.workflow_call.inputs).map(([name, input]) => [name, input.default]);
  const inputs = { ...Object.fromEntries(defaults), agent, prompt };
  const isRun = (step) => !step.if || evaluate(step.if, { inputs });
  const run = (script) => script?.replace(/npm install .*\)/, "ln -s ../node_modules)");
  return { inputs, steps: steps.slice(first, last + 1).filter(isRun).map((step) => ({ ...step, run: run(step.run) })) };
}

// A context in which each value is `none`.
const ANY = new Proxy({}, { get: () => "none" });

const format = (text, ...values) => text.replace(/\{(\d)\}/g, (_, index) => values[index]);

// GitHub's expressions in these workflows are also JavaScript.
const evaluate = (expression, contexts) => new Function(...Object.keys(contexts), `return ${expression}`)(...Object.values(contexts));

// The values of a step's `with` or `env`, without expressions.
function filled(section, contexts) {
  const text = (value) => String(value).replace(/\$\{\{((?:'[^']*'|[^'])*?)\}\}/g, (_, expression) => evaluate(expression, contexts) ?? "");
  return Object.fromEntries(Object.entries(section ?? {}).map(([name, value]) => [name, text(value)]));
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
    model: (script) => `${api}/model/${encodeURIComponent(script)}`,
    stop: () => process.kill(),
    received: async () => (await fetch(`${api}/control/received`)).json(),
  };
}

// The requests to the model that contain tools. Requests without tools are for a title or a
// summary, and not for a turn of the script.
const turns = (received) => toModel(received).filter((request) => tools(request).length);

const toModel = (received) => received.filter(({ method, path }) => method === "POST" && path.startsWith("/model/")).map(({ body }) => JSON.parse(body));

const tools = ({ tools = [], input = [] }) => [...tools, ...[input].flat().flatMap((item) => item.tools ?? [])];

// The names of the tools that the model was offered, in any of the APIs' formats, sorted. The provider's own tools
// have only a type.
function offered(received) {
  const names = (list) => list.flatMap(({ tools, functionDeclarations, function: called, name, type }) => (tools ? names(tools) : functionDeclarations ? names(functionDeclarations) : [called?.name ?? name ?? type]));
  return [...new Set(toModel(received).flatMap((request) => names(tools(request))))].sort();
}

// The requests to the MCP server: JSON-RPC messages with headers.
function toServer(received) {
  return received
    .filter(({ method, path }) => method === "POST" && path === "/v1")
    .map(({ headers, body }) => ({ ...JSON.parse(body), headers: Object.fromEntries(headers) }));
}

// The files through which a step returns values. The runner creates them for each step, readable for
// all users, and keeps them until the job ends.
function fileCommands({ commands }) {
  const id = randomUUID();
  const files = { GITHUB_OUTPUT: "set_output", GITHUB_STATE: "save_state", GITHUB_STEP_SUMMARY: "step_summary" };
  return Object.fromEntries(Object.entries(files).map(([variable, name]) => [variable, writeTo(commands)(`${name}_${id}`, "")]));
}

// Runs the step of the action. Returns its outputs and its log.
function connect(inputs, job, { api, mcp }) {
  const files = fileCommands(job);
  const environment = {
    ...files,
    HOME: join(job.temp, "_github_home"),
    GITHUB_WORKSPACE: job.work,
    RUNNER_TEMP: job.temp,
  };
  const credentials = { client_id: "q7Tn2vXzR4mLk9WbYc8HsJ1dFg5PaE3u", client_secret: `kJ8+vQ2/xT6&nB4=mR0%wL9"zC3-sF7_hD1~gY5.pA8` };
  for (const [input, value] of Object.entries({ ...inputs, ...credentials, api_url: api, mcp_url: mcp })) {
    environment[`INPUT_${input.toUpperCase()}`] = String(value);
  }
  const { status, stdout, stderr } = spawnSync(join(repository, "target/debug/port-mcp"), ["connect"], { env: environment, encoding: "utf8" });
  if (status !== 0) {
    throw new Error(`the action failed: ${stdout}${stderr}`);
  }
  // The runner reads the files when the step ends, and each step has a state of its own. Here, one post phase ends
  // what all uses of the action left.
  const saved = Object.entries(valuesIn(files.GITHUB_STATE)).filter(([, value]) => value !== "none");
  job.state = { ...job.state, ...Object.fromEntries(saved) };
  const outputs = valuesIn(files.GITHUB_OUTPUT);
  job.written = [files.GITHUB_OUTPUT, files.GITHUB_STATE, ...(outputs.config_file ? [join(job.temp, outputs.config_file)] : [])];
  return { outputs, stdout };
}

// The values in the file of outputs, or of state.
function valuesIn(file) {
  const entries = readFileSync(file, "utf8").matchAll(/^(\w+)<<(.+)\n([\s\S]*?)\n?\2$/gm);
  return Object.fromEntries([...entries].map(([, name, , value]) => [name, value]));
}

// Runs the post phase of the action, once. Returns its log and the number of calls that the
// gateway reports. The gateway must have ended.
async function cleanUp(job) {
  const { temp, state = {} } = job;
  delete job.state;
  const variables = Object.entries(state).map(([name, value]) => [`STATE_${name}`, value]);
  const environment = { ...Object.fromEntries(variables), ...fileCommands(job), RUNNER_TEMP: temp };
  const { status, stdout, stderr } = spawnSync(join(repository, "target/debug/port-mcp"), ["cleanup"], { env: environment, encoding: "utf8" });
  if (status !== 0) {
    throw new Error(`the post phase of the action failed: ${stdout}${stderr}`);
  }
  const answers = (url) => fetch(url).then(() => true, () => false);
  if (state.gateway_url && (await answers(new URL("/health", state.gateway_url)))) {
    throw new Error(`the gateway did not end: ${stdout}${stderr}`);
  }
  return { stdout, calls: Number(stdout.match(/^Stopped the gateway.* calls: (\d+)/m)?.[1]) };
}

// Replaces a text, such as the token, in the outputs and in the file.
function replaced(outputs, job, text, by) {
  if (outputs.config_file) {
    const file = join(job.temp, outputs.config_file);
    writeFileSync(file, readFileSync(file, "utf8").replaceAll(text, by));
  }
  return Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, value.replaceAll(text, by)]));
}

// The fake action in place of an agent's own action, which the jobs under act also use.
function actionOf(uses) {
  const [action, version] = uses.split("/")[1].split("@");
  return join(repository, "tests/e2e/fake-actions", version === "beta" ? `${action}-beta` : action, "main.js");
}

// Runs a step after the step of the action, with the scripted model. Returns its status and its log.
async function runStep(agent, step, { contexts, job, model, started }) {
  const runner = { PATH: process.env.PATH, HOME: job.home, TERM: "dumb", CI: "true", RUNNER_TEMP: job.temp, GITHUB_WORKSPACE: job.work };
  const own = { INPUTS: JSON.stringify(filled(step.with, contexts)), NODE_PATH: programs, MODEL_URL: model };
  const environment = { ...runner, ...fileCommands(job), ...filled(step.env, contexts), ...agent.environment?.(model, writeTo(job.home)), ...(step.uses && own) };
  const command = step.uses ? ["node", actionOf(step.uses)] : ["bash", "-e", "-o", "pipefail", "-c", step.run];
  if (job.hosts) {
    // With this file in place of /etc/hosts, for the agent only.
    const isRoot = process.getuid() === 0;
    const mount = `mount --bind "$0" /etc/hosts && exec "$@"`;
    command.unshift("unshare", "--mount", ...(isRoot ? [] : ["--map-root-user"]), "sh", "-c", mount, job.hosts);
  }
  const log = [];
  const child = spawn(command[0], command.slice(1), { cwd: job.work, env: environment, stdio: ["ignore", "pipe", "pipe"] });
  started?.(child.pid);
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
