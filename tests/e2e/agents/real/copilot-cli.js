export default {
  environment: (model) => ({
    COPILOT_OFFLINE: "true",
    COPILOT_MODEL: "fake",
    COPILOT_PROVIDER_API_KEY: "none",
    COPILOT_PROVIDER_BASE_URL: `${model}/v1`,
  }),
  enforcesTools: () => true,
  shell: {
    name: "bash",
    change: (step) => (step.run = `AGENT_ARGS=$(sed 's/--available-tools=[^ ]*//g' <<< "$AGENT_ARGS"); ${step.run}`),
  },
};
