export default {
  prepare: ({ given, model }) => ({
    base_config: JSON.stringify({
      ...JSON.parse(given.base_config),
      model: "fake/fake",
      provider: {
        fake: {
          npm: "@ai-sdk/openai-compatible",
          options: { baseURL: `${model}/v1`, apiKey: "none" },
          models: { fake: { name: "fake" } },
        },
      },
    }),
  }),
  enforcesTools: () => true,
  shell: { name: "bash" },
};
