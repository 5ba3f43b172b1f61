// Handles the inputs like openai/codex-action, but without the proxy that hides the API key:
// MODEL_URL is the URL of the scripted model. The checks are those of v1.12.

const { spawnSync } = require("node:child_process");
const { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } = require("node:fs");
const { homedir } = require("node:os");
const { join } = require("node:path");
const { parse } = require("shell-quote");

const inputs = JSON.parse(process.env.INPUTS);
const input = (name, fallback = "") => inputs[name] || fallback;

// src/runCodexExec.ts: keys that arguments cannot set, and flags that are not allowed.
const RESTRICTED = new Set(
  (
    "agents approval_policy approvals_reviewer apps_mcp_product_sku auto_review chatgpt_base_url debug default_permissions " +
    "hooks marketplaces mcp_servers model_provider model_providers notify openai_base_url oss_provider otel permissions " +
    "plugins profile profiles projects sandbox_mode sandbox_workspace_write shell_environment_policy features"
  ).split(" "),
);
const FORBIDDEN = /^(--(dangerously-bypass-hook-trust|approve-for-me|not-so-yolo|add-dir|oss|local-provider|ignore-user-config|ignore-rules|profile|enable|disable)(=|$)|-p)/;

function check(args) {
  for (const [index, arg] of args.entries()) {
    if (FORBIDDEN.test(arg)) {
      fail(`\`codex-args\` cannot use ${arg} with a protected safety strategy or permission profile.`);
    }
    const [, inline] = arg.match(/^(?:--config=|-c=?)(.+)/) ?? [];
    const override = arg === "--config" || arg === "-c" ? args[index + 1] : inline;
    const key = override?.slice(0, override.indexOf("=")).trim();
    if (key && RESTRICTED.has(key.split(".")[0])) {
      fail(`\`codex-args\` cannot override \`${key}\` with a protected safety strategy or permission profile.`);
    }
  }
}

function fail(message) {
  console.error(`Error: ${message}`);
  process.exit(1);
}

const given = input("codex-args", "[]").trim();
const args = given.startsWith("[") ? JSON.parse(given) : parse(given);
if (input("safety-strategy", "drop-sudo") !== "unsafe") {
  check(args);
}

// src/writeProxyConfig.ts: the action writes its configuration before and after the caller's.
const home = input("codex-home", join(homedir(), ".codex"));
mkdirSync(home, { recursive: true });
const config = join(home, "config.toml");
const existing = existsSync(config) ? readFileSync(config, "utf8") : "";
const provider = `[model_providers.proxy]\nname = "proxy"\nbase_url = "${process.env.MODEL_URL}/v1"\nwire_api = "responses"\n`;
writeFileSync(config, `model_provider = "proxy"\n\n${existing}\n\n${provider}`);

const answer = input("output-file", join(process.env.RUNNER_TEMP, "codex-answer"));
const model = input("model") ? ["--model", input("model")] : [];
const command = ["exec", "--skip-git-repo-check", "--cd", process.env.GITHUB_WORKSPACE, "--output-last-message", answer, ...model, ...args, "--sandbox", input("sandbox", "workspace-write")];
console.log(`Running: CODEX_HOME=${home} codex ${command.map((word) => JSON.stringify(word)).join(" ")}`);
const { status } = spawnSync("codex", command, {
  env: { ...process.env, CODEX_HOME: home },
  input: input("prompt"),
  stdio: ["pipe", "inherit", "inherit"],
});
if (status !== 0) {
  fail(`codex exited with code ${status}`);
}
if (process.env.GITHUB_OUTPUT) {
  appendFileSync(process.env.GITHUB_OUTPUT, `final-message<<ghadelimiter_e2e\n${readFileSync(answer, "utf8")}\nghadelimiter_e2e\n`);
}
