export default {
  environment: (model) => ({
    ANTHROPIC_API_KEY: "none",
    ANTHROPIC_BASE_URL: model,
    CLAUDE_CODE_MAX_RETRIES: "0",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
  }),
  // It shows a model only the names of many tools, so the script has whole names.
  names: ({ allowed_tools: tool }, [granted, refused]) => [tool, tool.replace(granted, refused)],
  keepsToTheList: () => true,
};
