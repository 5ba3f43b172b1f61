export default {
  environment: () => ({ OPENAI_API_KEY: "none" }),
  enforcesTools: () => true,
  failsWithoutServer: true,
  shell: {
    name: "exec_command",
    change: (step) => Object.assign(step.with, { "safety-strategy": "unsafe", "codex-args": '["--config", "shell_environment_policy.exclude=[]"]' }),
  },
};
