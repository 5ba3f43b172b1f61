import { instructions } from "../instructions.js";

const FILES = [".github/copilot-instructions.md", ".github/instructions/all.instructions.md", ".claude/rules/all.md", "AGENTS.md", "CLAUDE.md", "GEMINI.md"];

export default {
  checkout: {
    files: () => instructions(FILES),
    reusable: [],
    open: {
      "without the flag": { change: (step) => (step.run = step.run.replace("--no-custom-instructions ", "")), harm: FILES },
    },
  },
};
