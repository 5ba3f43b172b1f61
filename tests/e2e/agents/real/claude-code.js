export default {
  environment: (model) => ({
    ANTHROPIC_API_KEY: "none",
    ANTHROPIC_BASE_URL: model,
    CLAUDE_CODE_MAX_RETRIES: "0",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
  }),
  showsOnlyNames: true,
  enforcesTools: () => true,
  shell: {
    name: "Bash",
    change: (step) => (step.with.claude_args += " --allowedTools Bash"),
  },
};
