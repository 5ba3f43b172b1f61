export default {
  prepare: ({ model }) => ({
    base_config: JSON.stringify({
      name: "ci",
      version: "1.0.0",
      schema: "v1",
      models: [{ name: "fake", provider: "openai", model: "fake", apiBase: `${model}/v1`, apiKey: "none" }],
    }),
  }),
  enforcesTools: ({ agent_args: args }) => args.includes("--exclude delete_entity"),
  shell: {
    name: "Bash",
    // Continue ends if the model requests a tool that it does not know.
    endsAgent: true,
    change: (step) => (step.run = step.run.replace(/--exclude (Bash|Read) /g, "")),
  },
};
