export default {
  prepare: ({ model }) => ({
    base_config: JSON.stringify({
      model: "sandbox/sandbox",
      provider: {
        sandbox: {
          npm: "@ai-sdk/openai-compatible",
          options: { baseURL: `${model}/v1`, apiKey: "none" },
          models: { sandbox: { name: "sandbox" } },
        },
      },
    }),
  }),
  keepsToTheList: () => true,
};
