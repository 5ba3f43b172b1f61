import { instructions } from "../instructions.js";

const FILES = ["AGENTS.md", ".continue/rules/all.md", ".continue/skills/one/SKILL.md", ".claude/skills/two/SKILL.md"];

export default {
  checkout: {
    files: () => instructions(FILES),
    open: {
      "in the checkout": { change: (step) => (step.run = step.run.replace('cd "$RUNNER_TEMP/continue"\n', "")), harm: FILES },
    },
  },
};
