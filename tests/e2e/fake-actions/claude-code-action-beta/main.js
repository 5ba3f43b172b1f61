// Handles the inputs like anthropics/claude-code-action@beta, and then runs `claude`.

const { spawnSync } = require("node:child_process");

const inputs = JSON.parse(process.env.INPUTS);

function fail(message) {
  console.error(`Error: ${message}`);
  process.exit(1);
}

// src/github/token.ts
if (!inputs.github_token && !process.env.ACTIONS_ID_TOKEN_REQUEST_URL) {
  fail("Could not fetch an OIDC token. Did you remember to add `id-token: write` to your workflow permissions?");
}

// src/modes: the real action does nothing and succeeds.
if (inputs.mode !== "agent") {
  fail("No trigger found: `workflow_dispatch` requires `mode: agent`.");
}

// src/modes/agent/index.ts
const servers = { mcpServers: {}, ...JSON.parse(inputs.mcp_config || "{}") };
const list = (text = "") => text.split(/[,\n]/).map((tool) => tool.trim()).filter(Boolean);
const tools = ["Edit", "MultiEdit", "Glob", "Grep", "LS", "Read", "Write", ...list(inputs.allowed_tools)];
const disallowed = ["WebSearch", "WebFetch", ...list(inputs.disallowed_tools)];
const args = ["--allowedTools", tools.join(","), "--disallowedTools", disallowed.join(","), "--mcp-config", JSON.stringify(servers)];

const { status } = spawnSync("claude", ["--print", "--verbose", "--output-format", "stream-json", ...args], {
  env: { ...process.env, ANTHROPIC_API_KEY: inputs.anthropic_api_key },
  input: inputs.direct_prompt,
  stdio: ["pipe", "inherit", "inherit"],
});
process.exitCode = status === 0 ? 0 : 1;
