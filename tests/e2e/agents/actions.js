// What the agents' own actions do with the inputs that a workflow gives them, up
// to the command that they start.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "shell-quote";

export {
  claudeCode as "anthropics/claude-code-action",
  codex as "openai/codex-action",
  geminiCli as "google-github-actions/run-gemini-cli",
};

// base-action/src/parse-sdk-options.ts: comments go, shell-quote splits the rest.
// setup-claude-code-settings.ts: a checkout's own servers are approved.
function claudeCode({ prompt, claude_args: given }, { home }) {
  mkdirSync(join(home, ".claude"), { recursive: true });
  writeFileSync(join(home, ".claude/settings.json"), JSON.stringify({ enableAllProjectMcpServers: true }));
  const text = given.split("\n").filter((line) => !line.trim().startsWith("#")).join("\n");
  const args = parse(text);
  if (!args.every((arg) => typeof arg === "string")) {
    throw new Error(`shell-quote finds more than words: ${JSON.stringify(args)}`);
  }
  return ["claude", "--print", prompt, "--output-format", "stream-json", "--verbose", ...args];
}

// src/runCodexExec.ts: a JSON array is taken as it is.
function codex({ prompt, "codex-args": given }, _job, model) {
  return ["codex", "exec", "--skip-git-repo-check", ...JSON.parse(given), ...model, "--sandbox", "workspace-write", prompt];
}

// action.yml: the settings take the place of the workspace's.
function geminiCli({ prompt, settings }, { work }) {
  mkdirSync(join(work, ".gemini"));
  writeFileSync(join(work, ".gemini/settings.json"), settings);
  return ["gemini", "--yolo", "--prompt", prompt, "--output-format", "json"];
}
