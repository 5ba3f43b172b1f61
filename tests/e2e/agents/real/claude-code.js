const PORT = ["list_blueprints", "delete_entity"];

export default {
  environment: (model) => ({
    ANTHROPIC_API_KEY: "none",
    ANTHROPIC_BASE_URL: model,
    CLAUDE_CODE_MAX_RETRIES: "0",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
  }),
  // It shows a model only the names of many tools, so the script has whole names.
  names: ({ allowed_tools: tool }, script) => script.map((name) => (PORT.includes(name) ? tool.replace(PORT[0], name) : name)),
  keepsToTheList: () => true,
  shell: {
    name: "Bash",
    change: (step) => (step.with.claude_args += " --allowedTools Bash"),
  },
};
