export default {
  environment: (model) => ({ ANTHROPIC_BASE_URL: model, ANTHROPIC_API_KEY: "none", MODEL: "fake" }),
  type: 'import("@anthropic-ai/sdk/resources/beta/messages").MessageCreateParamsNonStreaming',
};
