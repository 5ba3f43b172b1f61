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
};
