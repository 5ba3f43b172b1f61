export default {
  environment: (model) => ({ OPENAI_API_KEY: "none", OPENAI_BASE_URL: `${model}/v1`, OPENAI_MODEL: "sandbox" }),
  showsNamesAlone: true,
  keepsToTheList: () => true,
  shell: { name: "run_shell_command" },
};
