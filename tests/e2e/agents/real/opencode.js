export default {
  prepare: ({ given, model }) => ({
    base_config: JSON.stringify({
      ...JSON.parse(given.base_config),
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
  shell: { name: "bash" },
};
