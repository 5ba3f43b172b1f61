// What anthropics/claude-code-action checks before it starts Claude Code, in its order.

const { existsSync, readFileSync } = require("node:fs");

const inputs = JSON.parse(process.env.INPUTS);
const { GITHUB_EVENT_NAME: event, GITHUB_EVENT_PATH: path, GITHUB_ACTOR: actor, GITHUB_REPOSITORY: repository, GITHUB_API_URL: api } = process.env;
const payload = path && existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : {};

// src/github/context.ts
const ENTITIES = ["issues", "issue_comment", "pull_request", "pull_request_target", "pull_request_review", "pull_request_review_comment"];
const OTHERS = ["workflow_dispatch", "repository_dispatch", "schedule", "workflow_run"];

const list = (text = "") => text.split(",").map((name) => name.trim());
const plain = (name) => name.toLowerCase().replace(/\[bot\]$/, "");
const isAllowedBot = (name) => (inputs.allowed_bots ?? "").trim() === "*" || list(inputs.allowed_bots).some((bot) => bot && plain(bot) === plain(name));

async function get(route) {
  const response = await fetch(api + route, { headers: { Authorization: `Bearer ${inputs.github_token}`, "User-Agent": "fake" } });
  const body = await response.json();
  if (!response.ok) {
    throw new Error(body.message);
  }
  return body;
}

// src/github/validation/permissions.ts
async function mayWrite(name) {
  const exempt = list(inputs.allowed_non_write_users);
  const isEveryone = (inputs.allowed_non_write_users ?? "").trim() === "*";
  if ((inputs.github_token && (isEveryone || exempt.includes(name))) || name.endsWith("[bot]")) {
    return true;
  }
  try {
    const { permission } = await get(`/repos/${repository}/collaborators/${name}/permission`);
    return ["admin", "write"].includes(permission);
  } catch ({ message }) {
    if (message.includes("is not a user")) {
      return isAllowedBot(name);
    }
    throw new Error(`Failed to check permissions for ${name}: Error: ${message}`);
  }
}

// src/github/validation/actor.ts
async function checkHuman() {
  const type = await get(`/users/${actor}`).then((user) => `type: ${user.type}`, ({ message }) => {
    if (/Not Found|is not a user/.test(message)) {
      return "actor not found on GitHub";
    }
    throw new Error(message);
  });
  if (type !== "type: User" && !isAllowedBot(actor)) {
    throw new Error(`Workflow initiated by non-human actor: ${plain(actor)} (${type}). Add bot to allowed_bots list or use '*' to allow all bots.`);
  }
}

async function check() {
  if (![...ENTITIES, ...OTHERS].includes(event)) {
    throw new Error(`Unsupported event type: ${event}`);
  }
  // src/github/token.ts
  if (!inputs.github_token && !process.env.ACTIONS_ID_TOKEN_REQUEST_URL) {
    throw new Error("Could not fetch an OIDC token. Did you remember to add `id-token: write` to your workflow permissions?");
  }
  const upstream = event === "workflow_run" ? payload.workflow_run?.actor?.login : undefined;
  const writers = ENTITIES.includes(event) || event === "workflow_run" ? [actor, upstream] : [];
  for (const name of new Set(writers.filter(Boolean))) {
    if (!(await mayWrite(name))) {
      throw new Error("Actor does not have write permissions to the repository");
    }
  }
  await checkHuman();
}

check().catch(({ message }) => {
  console.log(`::error::Action failed with error: ${message}`);
  process.exitCode = 1;
});
