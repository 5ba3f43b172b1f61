import { nothing, shell } from "../reads.js";

export default {
  prepare: ({ model }) => ({
    base_config: JSON.stringify({
      name: "ci",
      version: "1.0.0",
      schema: "v1",
      models: [{ name: "fake", provider: "openai", model: "fake", apiBase: `${model}/v1`, apiKey: "none" }],
    }),
  }),
  slashCommand: "/clear",
  enforcesTools: ({ agent_args: args }) => args.includes("--exclude delete_entity"),
  // Continue ends if the model requests a tool that it does not know.
  tools: {
    CheckBackgroundJob: () => [{ job_id: "1" }],
    Skills: () => [{ skill_name: "read" }],
    ...nothing("AskQuestion Checklist Exit"),
  },
  switchedOff: {
    "with its own tools": {
      change: (step) => (step.run = step.run.replace(/--exclude [A-Z]\w+ /g, "")),
      tools: ["Bash", "Fetch", "List", "Read"],
    },
  },
  unprotected: {
    "with its own tools": {
      tools: { Bash: shell, Read: ({ files }) => files.map((filepath) => ({ filepath })) },
      change: (step) => (step.run = step.run.replace(/--exclude (Bash|Read) /g, "")),
    },
  },
};
