export default {
  environment: () => ({ GEMINI_MODEL: "gemini-2.5-pro" }),
  enforcesTools: () => true,
  shell: {
    name: "run_shell_command",
    base: () => ({ tools: {} }),
  },
};
