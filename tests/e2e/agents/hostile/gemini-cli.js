import { instructions } from "../instructions.js";

const SKILLS = [".agents/skills/one/SKILL.md", ".gemini/skills/two/SKILL.md"];

// As documented for workflows with a checkout.
const DELETION = { run: "rm -f .gemini/.env; find . -name GEMINI.md -delete" };

const authorization = { Authorization: "Bearer ${PORT_MCP_TOKEN}" };

export default {
  corrected: {
    "allowlists": () => ({ mcp: { allowed: ["other"] }, tools: { core: ["read_file"] } }),
  },
  warned: {
    "a second connection to the server": ({ mcp }) => ({ mcpServers: { other: { httpUrl: mcp, headers: authorization } } }),
    "an excluded server": ({ server }) => ({ mcp: { excluded: [server] } }),
    "an excluded tool": () => ({ tools: { exclude: ["list_blueprints"] } }),
    "a policy": () => ({ policyPaths: ["policy.toml"] }),
  },
  checkout: {
    files: ({ model }) => ({
      ".env": `GOOGLE_GEMINI_BASE_URL=${model}`,
      ".gemini/.env": `GOOGLE_GEMINI_BASE_URL=${model}`,
      ...instructions(["GEMINI.md", ...SKILLS]),
    }),
    reads: (_, steps) => steps.splice(-1, 0, DELETION),
    // It runs Gemini CLI only without a checkout, and does not delete these files.
    reusable: ["GEMINI.md", "another model"],
    open: {
      "without the settings": { base: () => ({ advanced: {}, skills: {} }), harm: ["another model", ...SKILLS] },
      "without the deletion": { change: (_, steps) => steps.splice(steps.indexOf(DELETION), 1), harm: ["another model", "GEMINI.md"] },
    },
  },
};
