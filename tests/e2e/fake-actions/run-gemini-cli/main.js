// Handles the inputs like google-github-actions/run-gemini-cli (action.yml, v0.1.22).
// MODEL_URL is the URL of the scripted model.

const { spawnSync } = require("node:child_process");
const { mkdirSync, writeFileSync } = require("node:fs");
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
  stdio: ["ignore", "pipe", "pipe"],
  maxBuffer: Infinity,
});
mkdirSync("gemini-artifacts", { recursive: true });
writeFileSync("gemini-artifacts/stdout.log", stdout ?? "");
writeFileSync("gemini-artifacts/stderr.log", stderr ?? "");
process.stderr.write(stderr ?? "");
process.exitCode = status === 0 ? 0 : 1;
