export default {
  prepare: ({ model }) => ({
    base_config: JSON.stringify({
      name: "ci",
      version: "1.0.0",
      schema: "v1",
      models: [{ name: "sandbox", provider: "openai", model: "sandbox", apiBase: `${model}/v1`, apiKey: "none" }],
    }),
  }),
  keepsToTheList: ({ agent_args: args }) => args.includes("--exclude delete_entity"),
  shell: {
    name: "Bash",
    // It ends where a model asks for a tool that it does not know.
    endsIt: true,
    change: (step) => (step.run = step.run.replace(/--exclude (Bash|Read) /g, "")),
  },
};
