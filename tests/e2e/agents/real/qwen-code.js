export default {
  environment: (model) => ({ OPENAI_API_KEY: "none", OPENAI_BASE_URL: `${model}/v1`, OPENAI_MODEL: "fake" }),
  showsOnlyNames: true,
  enforcesTools: () => true,
  shell: { name: "run_shell_command" },
};
