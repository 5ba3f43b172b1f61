// Handles the inputs like google-github-actions/run-gemini-cli (action.yml, v0.1.22).
// MODEL_URL is the URL of the scripted model.

const { spawnSync } = require("node:child_process");
const { appendFileSync, mkdirSync, writeFileSync } = require("node:fs");
const { homedir } = require("node:os");
const { join } = require("node:path");

const inputs = JSON.parse(process.env.INPUTS);

if (inputs.settings) {
  mkdirSync(".gemini", { recursive: true });
  writeFileSync(".gemini/settings.json", inputs.settings);
}
// With a base URL other than Google's, it uses the key only with this setting. The URL is in the file
// with the lowest precedence, so that a checkout can override it, as it could with the real action.
const own = join(homedir(), ".gemini");
mkdirSync(own, { recursive: true });
writeFileSync(join(own, "settings.json"), JSON.stringify({ security: { auth: { selectedType: "gemini-api-key" } } }));
writeFileSync(join(own, ".env"), `GOOGLE_GEMINI_BASE_URL=${process.env.MODEL_URL}\n`);

const variables = { GEMINI_API_KEY: inputs.gemini_api_key, GEMINI_MODEL: inputs.gemini_model };
const environment = { ...process.env, ...Object.fromEntries(Object.entries(variables).filter(([, value]) => value)) };
const { status, stdout, stderr } = spawnSync("gemini", ["--yolo", "--prompt", inputs.prompt, "--output-format", "json"], {
  env: environment,
  encoding: "utf8",
  stdio: ["ignore", "pipe", "pipe"],
  maxBuffer: Infinity,
});
mkdirSync("gemini-artifacts", { recursive: true });
writeFileSync("gemini-artifacts/stdout.log", stdout);
writeFileSync("gemini-artifacts/stderr.log", stderr);
writeFileSync("gemini-artifacts/telemetry.log", "");

// As `jq -e .` decides: neither nothing, nor `null`, nor `false` is JSON.
const json = (text) => {
  try {
    return JSON.parse(text) || undefined;
  } catch {
    return undefined;
  }
};
const response = json(stdout)?.response ?? "";
const error = json(stderr)?.error;
for (const [name, text] of Object.entries({ stderr, stdout })) {
  if (text && !json(text)) {
    console.log(`::warning::Gemini CLI ${name} was not valid JSON`);
  }
}

// The delimiter is always `EOF`, so a line `EOF` in the answer ends the output.
const line = (text) => `${text.replace(/\n+$/, "")}\n`;
const output = (name, text, raw) => `${name}<<EOF\n${text ? line(text) : raw}EOF\n`;
if (process.env.GITHUB_OUTPUT) {
  appendFileSync(process.env.GITHUB_OUTPUT, output("gemini_response", response, stdout) + output("gemini_errors", error && JSON.stringify(error), stderr));
}

const section = (title, text) => (text ? `#### ${title}\n\n${text}\n\n` : "");
const block = (text, language = "") => `\`\`\`${language}\n${line(text)}\`\`\``;
const shown = error ? section("Error", block(JSON.stringify(error), "json")) : status === 0 ? "" : section("Error Output", block(stderr));
const summary = `### Gemini CLI Execution\n\n${section("Prompt", block(inputs.prompt))}${section("Response", response)}${shown}`;
if (process.env.GITHUB_STEP_SUMMARY) {
  appendFileSync(process.env.GITHUB_STEP_SUMMARY, summary);
}

if (status !== 0) {
  if (error) {
    console.log(`::error title=Gemini CLI execution failed::${error.message ?? JSON.stringify(error)}`);
  }
  console.log(`::: Start Gemini CLI STDERR :::\n${stderr}::: End Gemini CLI STDERR :::`);
  process.exitCode = 1;
}
