import { shell } from "../reads.js";

export default {
  environment: (model) => ({
    COPILOT_OFFLINE: "true",
    COPILOT_MODEL: "fake",
    COPILOT_PROVIDER_API_KEY: "none",
    COPILOT_PROVIDER_BASE_URL: `${model}/v1`,
  }),
  slashCommand: "/clear",
  enforcesTools: () => true,
  tools: {
    bash: shell,
    view: ({ files, directories }) => [...files, ...directories].map((path) => ({ path })),
    grep: ({ files, directories, pattern }) => [...files, ...directories].map((path) => ({ pattern, path, output_mode: "content" })),
    glob: ({ directories }) => directories.map((path) => ({ pattern: "*", path })),
  },
  hidden: ["bash", "view", "grep", "glob"],
  also: {
    "with one of its own tools": { change: (step) => (step.run = step.run.replace("xargs copilot", "xargs copilot --available-tools=view")) },
  },
  unprotected: {
    "with its own tools": {
      change: (step) => (step.run = `AGENT_ARGS=$(sed 's/--available-tools=[^ ]*//g' <<< "$AGENT_ARGS"); ${step.run}`),
    },
  },
};
