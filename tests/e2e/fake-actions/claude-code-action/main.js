// Handles the inputs like anthropics/claude-code-action, and then runs `claude`.

const { spawnSync, execFileSync } = require("node:child_process");
const { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } = require("node:fs");
const { homedir } = require("node:os");
const { join } = require("node:path");
const { parse } = require("shell-quote");

const inputs = JSON.parse(process.env.INPUTS);

function fail(message) {
  console.log(`::error::Action failed with error: ${message}`);
  process.exit(1);
}

// src/github/operations/git-config.ts: the token is in `.git/config` while Claude Code runs. This may fail.
const { GITHUB_EVENT_PATH: path, GITHUB_REPOSITORY: repository } = process.env;
spawnSync("git", ["remote", "set-url", "origin", `https://x-access-token:${inputs.github_token}@github.com/${repository}.git`]);

// src/entrypoints/run.ts: on a pull request, the action restores files from the base branch.
const event = path && existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : {};
if (event.pull_request || event.issue?.pull_request) {
  try {
    execFileSync("git", ["diff", "--name-only", "HEAD", "--"], { stdio: ["ignore", "ignore", "inherit"] });
  } catch ({ message }) {
    fail(message);
  }
}

// base-action/src/setup-claude-code-settings.ts: the servers of the checkout are approved.
mkdirSync(join(homedir(), ".claude"), { recursive: true });
writeFileSync(join(homedir(), ".claude/settings.json"), JSON.stringify({ enableAllProjectMcpServers: true }));

// base-action/src/parse-sdk-options.ts: lines that begin with `#` are removed, and shell-quote splits the
// rest. A `#` elsewhere begins a comment up to the end of all arguments. Operators of a shell are
// ordinary characters.
const OPERATORS = "()|&;<>";
const hide = (text) => text.replace(/[()|&;<>]/g, (operator) => String.fromCharCode(0xe000 + OPERATORS.indexOf(operator)));
const show = (text) => text.replace(/[\ue000-\ue006]/g, (hidden) => OPERATORS[hidden.charCodeAt(0) - 0xe000]);
const lines = (inputs.claude_args ?? "").split("\n").filter((line) => !line.trim().startsWith("#"));
const words = parse(hide(lines.join("\n")))
  .map((word) => word.pattern ?? word)
  .filter((word) => typeof word === "string")
  .map(show);

// A flag has one value, the last one, or a list of all values. Words without a flag are dropped.
const LISTS = { "allowed-tools": "allowedTools", "disallowed-tools": "disallowedTools", allowedTools: "allowedTools", disallowedTools: "disallowedTools", "mcp-config": "mcp-config", "add-dir": "add-dir" };
const flags = new Map();
for (let index = 0; index < words.length; index += 1) {
  if (!words[index].startsWith("--")) {
    continue;
  }
  const flag = words[index].slice(2);
  const name = LISTS[flag] ?? flag;
  const values = [];
  // An empty value is none, and the flag is then passed without a value.
  while (words[index + 1] && !words[index + 1].startsWith("--") && (LISTS[flag] || values.length === 0)) {
    values.push(words[++index]);
  }
  flags.set(name, LISTS[flag] ? [...(flags.get(name) ?? []), ...values] : values);
}
const take = (name) => {
  const values = flags.get(name) ?? [];
  flags.delete(name);
  return values;
};

// Servers in JSON are merged. A file is used only if there is no such server, and the last one wins.
const configs = flags.get("mcp-config") ?? [];
if (configs.length > 1) {
  const json = configs.filter((config) => config.trim().startsWith("{")).map((config) => JSON.parse(config).mcpServers ?? {});
  const servers = Object.assign({}, ...json);
  const file = configs.findLast((config) => !config.trim().startsWith("{"));
  flags.set("mcp-config", [Object.keys(servers).length === 0 && file ? file : JSON.stringify({ mcpServers: servers })]);
}

// The order in which the Agent SDK passes them.
const args = ["--output-format", "stream-json", "--verbose", "--input-format", "stream-json"];
const directories = take("add-dir");
for (const name of ["max-turns", "model"]) {
  take(name).forEach((value) => args.push(`--${name}`, value));
}
for (const name of ["allowedTools", "disallowedTools"]) {
  const tools = take(name).flatMap((value) => value.split(",").map((tool) => tool.trim()).filter(Boolean));
  if (tools.length) {
    args.push(`--${name}`, [...new Set(tools)].join(","));
  }
}
args.push(`--setting-sources=${take("setting-sources")[0] ?? "user,project,local"}`, "--permission-mode", "default");
directories.forEach((directory) => args.push("--add-dir", directory));
flags.forEach((values, name) => args.push(`--${name}`, ...values));

console.log(`Context prompt: ${inputs.prompt}`);
const { error, status, stdout, stderr } = spawnSync("claude", args, {
  encoding: "utf8",
  env: { ...process.env, CLAUDE_CODE_ENTRYPOINT: "claude-code-github-action", CLAUDE_CODE_ACTION: "1" },
  input: `${JSON.stringify({ type: "user", session_id: "", message: { role: "user", content: [{ type: "text", text: inputs.prompt }] }, parent_tool_use_id: null })}\n`,
  maxBuffer: Infinity,
});

// The output is set whenever there is a conversation, also if the step fails. In a new directory,
// because jobs share RUNNER_TEMP under act.
const messages = (stdout ?? "").split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
const result = messages.findLast(({ type }) => type === "result");
const file = join(mkdtempSync(join(process.env.RUNNER_TEMP, "claude-")), "claude-execution-output.json");
writeFileSync(file, JSON.stringify(messages, null, 2));
output("execution_file", file);
if (inputs.display_report === "true") {
  summarize();
}
if (!result) {
  fail(`SDK execution error: Error: Claude Code process exited with code ${error ?? status}. stderr: ${stderr}`);
}
// Without `show_full_output`, the log has only this.
const { subtype, is_error: isError, num_turns: turns } = result;
console.log(JSON.stringify({ type: "result", subtype, is_error: isError, num_turns: turns }, null, 2));
if (subtype !== "success") {
  const errors = result.errors?.join(", ");
  if (errors) {
    console.log(`::error::Execution failed: ${errors}`);
  }
  fail(`Claude execution failed: ${errors ?? "unknown error"}`);
}
if (isError) {
  console.log("::error::Claude result reported subtype success with is_error:true (run did not complete successfully)");
  fail("Claude execution failed: result is_error:true");
}
output("conclusion", "success");

function output(name, value) {
  if (process.env.GITHUB_OUTPUT) {
    appendFileSync(process.env.GITHUB_OUTPUT, `${name}=${value}\n`);
  }
}

function summarize() {
  const blocks = messages.flatMap(({ message }) => (Array.isArray(message?.content) ? message.content : []));
  const report = ["## Claude Code Report", ...blocks.map((block) => block.text ?? "```json\n" + JSON.stringify(block, null, 2) + "\n```")].join("\n\n");
  appendFileSync(process.env.GITHUB_STEP_SUMMARY, `${report}\n`);
}
