// How a run of an agent can end, the file that the agent writes then, and what `port-mcp answer` makes of it.

import { spawnSync } from "node:child_process";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./job.js";

const TOOL = "list_blueprints";
const INPUTS = { server_name: "port", gateway_lifetime: "10m" };
const binary = fileURLToPath(new URL("../../../target/debug/port-mcp", import.meta.url));

// The model ends with an error, at once or after a call.
const FAILS = ["401"];
const FAILS_LATER = [TOOL, "401"];

const ANSWER = "That is all.";
const CANNOT_CONNECT = "the agent could not connect to the MCP server `port`";
const NO_RESULT = "the agent got no result from the MCP server `port`";
const EMPTY = "the agent returned no answer: the file is empty";

// The step writes the output of its last command to a file.
const toFile = (program, options) => (step) => {
  step.run = step.run.replace(`xargs ${program}`, `xargs ${program} ${options}`).replace('<<< "$AGENT_ARGS"', '$& >"$RUNNER_TEMP/answer"');
};
const qwen = (options = "") => toFile("qwen", `--output-format json ${options}`);
const copilot = toFile("copilot", "--output-format json");

// Another server that does not respond, and Port's at the same address.
const NOBODY = "127.0.0.1:9";
const otherServer = () => ({ mcpServers: { other: { httpUrl: `http://${NOBODY}/v1` } } });
const unreachable = (step) => (step.with.settings = step.with.settings.replace("mcp_config", `mcp_config.replace(/127.0.0.1:\\d+/, "${NOBODY}")`));
const debugs = (step) => (step.env.DEBUG = "true");

/**
 * For each agent: its program, the pattern of its file, and its ends. An end has the script of the model and the
 * changes of the documented workflow (`how` in words), and the answer that passes, or how the error begins.
 */
export const AGENTS = {
  "claude-code": {
    program: "@anthropic-ai/claude-code",
    file: "temp/claude-*/claude-execution-output.json",
    suffix: "json",
    ends: {
      success: { passes: ANSWER },
      error: { how: "the model fails", script: FAILS, fails: "the agent failed: Failed to authenticate. API Error: 401" },
      "max-turns": {
        how: "--max-turns 1",
        change: (step) => (step.with.claude_args += " --max-turns 1"),
        fails: "the agent failed: error_max_turns: Reached maximum number of turns (1)\nhint: raise `--max-turns`",
      },
      "wrong-token": { how: "a wrong token", wrongToken: true, fails: `${CANNOT_CONNECT} (its status is \`failed\`)` },
      "no-server": {
        how: "without agent_args",
        change: (step) => (step.with.claude_args = step.with.claude_args.replace(/\$\{\{.*\}\}/, "")),
        fails: `${CANNOT_CONNECT} (the agent's configuration does not contain it)`,
      },
    },
  },
  codex: {
    program: "@openai/codex",
    file: "temp/codex-answer",
    suffix: "txt",
    ends: {
      success: { passes: ANSWER },
      error: { how: "the model fails", script: FAILS, fails: EMPTY },
      "wrong-token": { how: "a wrong token", wrongToken: true, fails: EMPTY },
      // As documented: nothing shows it.
      "no-server": { how: "without config.toml", change: (_, steps) => steps.splice(0, 1), passes: ANSWER },
    },
  },
  "copilot-cli": {
    program: "@github/copilot",
    file: "temp/answer",
    suffix: "jsonl",
    ends: {
      success: { how: "--output-format json", change: copilot, passes: ANSWER },
      error: { how: "--output-format json, the model fails after a call", script: FAILS_LATER, change: copilot, fails: "the agent failed: Authentication failed with provider" },
      "wrong-token": { how: "--output-format json, a wrong token", wrongToken: true, change: copilot, fails: `${CANNOT_CONNECT} (its status is \`needs-auth\`)` },
      "no-server": {
        how: "--output-format json, without agent_args",
        change: (step) => {
          copilot(step);
          step.env.AGENT_ARGS = "--available-tools=none";
        },
        fails: `${CANNOT_CONNECT} (the agent's configuration does not contain it)`,
      },
      // It also shows the calls.
      text: { how: "--output-format text", change: toFile("copilot", "--output-format text"), passes: ANSWER, suffix: "txt" },
    },
  },
  "gemini-cli": {
    program: "@google/gemini-cli",
    file: "work/gemini-artifacts/stdout.log",
    stderr: "work/gemini-artifacts/stderr.log",
    suffix: "json",
    ends: {
      success: { passes: ANSWER },
      error: { how: "the model fails", script: FAILS, fails: "the agent failed: {" },
      "max-turns": { how: "maxSessionTurns: 1", base: () => ({ model: { maxSessionTurns: 1 } }), fails: "the agent failed: Reached max session turns for this session." },
      "wrong-token": { how: "a wrong token", wrongToken: true, fails: NO_RESULT },
      "no-server": { how: "without mcp_config", change: (step) => (step.with.settings = '{"tools": {"core": []}}'), fails: NO_RESULT },
      unreachable: { how: "the server does not respond", change: unreachable, fails: NO_RESULT },
      "unreachable-debug": {
        how: "the server does not respond, DEBUG=true",
        change: (step) => [unreachable, debugs].forEach((change) => change(step)),
        fails: `${CANNOT_CONNECT} (Error during discovery for MCP server 'port': fetch failed`,
      },
      "other-server": { how: "another server does not respond", base: otherServer, passes: ANSWER },
      "other-server-debug": {
        how: "another server does not respond, no call, DEBUG=true",
        script: ["delete_entity"],
        base: otherServer,
        change: debugs,
        fails: NO_RESULT,
      },
    },
  },
  "qwen-code": {
    program: "@qwen-code/qwen-code",
    file: "temp/answer",
    suffix: "json",
    ends: {
      success: { how: "--output-format json", change: qwen(), passes: ANSWER },
      error: { how: "--output-format json, the model fails after a call", script: FAILS_LATER, change: qwen(), fails: "the agent failed: [API Error: 401" },
      // The reason is only on its standard error.
      "max-turns": { how: "--output-format json --max-session-turns 1", change: qwen("--max-session-turns 1"), fails: EMPTY },
      "wrong-token": { how: "--output-format json, a wrong token", wrongToken: true, change: qwen(), fails: `${CANNOT_CONNECT} (its status is \`disconnected\`)` },
      "no-server": {
        how: "--output-format json, without mcp_config",
        change: (step) => {
          qwen()(step);
          step.env.MCP_CONFIG = "{}";
        },
        fails: `${CANNOT_CONNECT} (the agent's configuration does not contain it)`,
      },
      text: {
        how: "--output-format text",
        change: toFile("qwen", "--output-format text"),
        fails: "the agent's answer is not a JSON array of messages, the format of `qwen-code`\nhint: check that `file` belongs to this agent, start the agent with `--output-format json`",
        suffix: "txt",
      },
    },
  },
};

/** Runs an agent to one of its ends. Returns its files, and the result of `port-mcp answer`. */
export async function reach(name, end) {
  const { default: agent } = await import(`./real/${name}.js`);
  const { file, stderr, ends } = AGENTS[name];
  const { script = [TOOL], base, change, wrongToken } = ends[end];
  const ended = (job) => {
    const root = join(job.temp, "..");
    const [path] = globSync(file, { cwd: root }).map((found) => join(root, found));
    const read = (at) => (at ? readFileSync(at, "utf8") : "");
    return { root, text: read(path), stderr: stderr && read(join(root, stderr)), ...judge(name, path, job) };
  };
  const { log, ended: result } = await run(name, agent, { script, inputs: INPUTS, base, change, wrongToken, ended });
  return { log, ...result };
}

/** Whether the result of `port-mcp answer` is the one of this end. */
export const isExpected = ({ passes, fails }, { answer, error }) => (passes ? answer.endsWith(passes) && !error : error.startsWith(fails));

// Runs `answer` on a file of the agent.
function judge(name, file = "none", { temp }) {
  const output = join(temp, "answer-output");
  writeFileSync(output, "");
  const env = { INPUT_AGENT: name, INPUT_FILE: file, INPUT_SERVER_NAME: INPUTS.server_name, RUNNER_TEMP: temp, GITHUB_OUTPUT: output };
  const { stdout } = spawnSync(binary, ["answer"], { env, encoding: "utf8" });
  const [, answer = ""] = readFileSync(output, "utf8").match(/^answer<<(?:.+)\n([\s\S]*?)\n\S+\nanswer_file/) ?? [];
  const [, error = ""] = stdout.match(/^::error .*?::(.*)/m) ?? [];
  return { answer, error: decodeURIComponent(error) };
}
