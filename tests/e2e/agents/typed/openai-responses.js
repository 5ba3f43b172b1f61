export default {
  environment: (model) => ({ OPENAI_BASE_URL: `${model}/v1`, OPENAI_API_KEY: "none", MODEL: "fake" }),
  type: 'import("openai/resources/responses/responses").ResponseCreateParamsNonStreaming',
};
