// What openai/codex-action checks about the user who started the workflow, for every event
// (src/checkActorPermissions.ts).

const inputs = JSON.parse(process.env.INPUTS);
const { GITHUB_ACTOR: actor, GITHUB_REPOSITORY: repository, GITHUB_API_URL: api, TOKEN: token } = process.env;

const list = (name) => (inputs[name] ?? "").split(",").map((entry) => entry.trim().toLowerCase()).filter(Boolean);
const isBot = actor.endsWith("[bot]");
const bots = list("allow-bot-users").map((name) => (name.endsWith("[bot]") ? name : `${name}[bot]`));
const users = list("allow-users");
const isEveryone = (inputs["allow-users"] ?? "").trim() === "*";

async function reasonAgainst() {
  if (inputs["allow-bots"] === "true" && actor === "github-actions[bot]") {
    return undefined;
  }
  if (bots.some((name) => name.includes("*"))) {
    return "allow-bot-users does not support '*'; list trusted bot usernames explicitly.";
  }
  if ((isBot && bots.includes(actor.toLowerCase())) || isEveryone || users.includes(actor.toLowerCase())) {
    return undefined;
  }
  const response = await fetch(`${api}/repos/${repository}/collaborators/${actor}/permission`, {
    headers: { Authorization: `Bearer ${token}`, "User-Agent": "fake" },
  });
  const { permission, message } = await response.json();
  if (response.status === 404) {
    return `Actor '${actor}' is not a collaborator on ${repository}; write access is required.`;
  }
  if (!response.ok) {
    return `Failed to verify permissions for '${actor}': ${message}`;
  }
  return ["admin", "write", "maintain"].includes(permission)
    ? undefined
    : `Actor '${actor}' must have write access to ${repository}. Detected permission: '${permission}'.`;
}

reasonAgainst().then((reason) => {
  if (reason) {
    console.error(`Actor '${actor}' is not permitted to run this action: ${reason}`);
    process.exitCode = 1;
  } else {
    console.log(`Actor '${actor}' is permitted to continue.`);
  }
});
