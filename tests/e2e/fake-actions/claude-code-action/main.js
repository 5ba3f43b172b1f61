// Handles the inputs like anthropics/claude-code-action, and then runs `claude`.

const { spawnSync, execFileSync } = require("node:child_process");
const { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } = require("node:fs");
const { homedir } = require("node:os");
const { join } = require("node:path");
const { parse } = require("shell-quote");

const inputs = JSON.parse(process.env.INPUTS);

function fail(message) {
  console.error(`Error: ${message}`);
  process.exit(1);
}

// src/github/token.ts
if (!inputs.github_token && !process.env.ACTIONS_ID_TOKEN_REQUEST_URL) {
  fail("Could not fetch an OIDC token. Did you remember to add `id-token: write` to your workflow permissions?");
}

// src/entrypoints/run.ts: on a pull request, the action restores files from the base branch.
const { GITHUB_EVENT_PATH: path } = process.env;
const event = path && existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : {};
if (event.pull_request || event.issue?.pull_request) {
  try {
    execFileSync("git", ["diff", "--name-only", "HEAD", "--"], { stdio: ["ignore", "ignore", "inherit"] });
  } catch ({ message }) {
    fail(`Action failed with error: ${message}`);
  }
}

// src/setup-claude-code-settings.ts: the servers of the checkout are approved.
mkdirSync(join(homedir(), ".claude"), { recursive: true });
writeFileSync(join(homedir(), ".claude/settings.json"), JSON.stringify({ enableAllProjectMcpServers: true }));

// base-action/src/parse-sdk-options.ts: removes comments, and splits the rest with shell-quote.
const given = (inputs.claude_args ?? "").split("\n").filter((line) => !line.trim().startsWith("#"));
const args = parse(given.join("\n"));
const { status, stdout } = spawnSync("claude", ["--print", inputs.prompt, "--output-format", "stream-json", "--verbose", ...args], {
  env: { ...process.env, ...(inputs.anthropic_api_key && { ANTHROPIC_API_KEY: inputs.anthropic_api_key }) },
  encoding: "utf8",
  maxBuffer: Infinity,
  stdio: ["ignore", "pipe", "inherit"],
});
// Without `show_full_output`, the conversation is not logged.
const lines = stdout.split("\n");
console.log(lines.filter((line) => !line.startsWith("{")).join("\n"));
const messages = lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
// In a new directory, because jobs share RUNNER_TEMP under act.
const file = join(mkdtempSync(join(process.env.RUNNER_TEMP, "claude-")), "execution-output.json");
writeFileSync(file, JSON.stringify(messages));
if (process.env.GITHUB_OUTPUT) {
  appendFileSync(process.env.GITHUB_OUTPUT, `execution_file=${file}\n`);
}
const result = messages.findLast(({ type }) => type === "result");
if (status !== 0 || !result || result.is_error) {
  fail(`Claude execution failed: ${result?.result ?? "no result"}`);
}
