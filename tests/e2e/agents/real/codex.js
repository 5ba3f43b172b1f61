export default {
  environment: () => ({ OPENAI_API_KEY: "none" }),
  args: (model) => [
    ["model", '"sandbox"'],
    ["model_provider", '"sandbox"'],
    ["model_providers.sandbox", `{name="sandbox",base_url="${model}/v1",wire_api="responses",env_key="OPENAI_API_KEY"}`],
  ].flatMap(([key, value]) => ["--config", `${key}=${value}`]),
  keepsToTheList: () => true,
  failsWithoutServer: true,
};
