import { instructions } from "../instructions.js";

const FILES = ["AGENTS.md", ".agents/skills/one/SKILL.md", ".codex/skills/two/SKILL.md"];

export default {
  checkout: {
    files: () => instructions(FILES),
    reusable: [],
    open: {
      "without the settings": { inputs: { base_config: "" }, harm: FILES },
    },
  },
};
