export default {
  environment: (model) => ({ OPENAI_API_KEY: "none", OPENAI_BASE_URL: `${model}/v1`, OPENAI_MODEL: "sandbox" }),
  // It shows a model only the names of many tools, so the script has whole names.
  names: ({ allowed_tools: tool }, [granted, refused]) => [tool, tool.replace(granted, refused)],
  keepsToTheList: () => true,
};
