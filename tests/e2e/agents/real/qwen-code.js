const PORT = ["list_blueprints", "delete_entity"];

export default {
  environment: (model) => ({ OPENAI_API_KEY: "none", OPENAI_BASE_URL: `${model}/v1`, OPENAI_MODEL: "sandbox" }),
  // It shows a model only the names of many tools, so the script has whole names.
  names: ({ allowed_tools: tool }, script) => script.map((name) => (PORT.includes(name) ? tool.replace(PORT[0], name) : name)),
  keepsToTheList: () => true,
  shell: { name: "run_shell_command" },
};
