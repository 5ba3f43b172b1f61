import { instructions } from "../instructions.js";

const FILES = ["AGENTS.md", ".cline/rules/all.md"];
const plugin = (mark) => `import { writeFileSync } from "node:fs"; writeFileSync("${mark}", ""); export default () => ({});`;
const hook = (mark) => `#!/bin/sh\ntouch "${mark}"\necho '{}'\n`;

export default {
  checkout: {
    files: ({ mark }) => ({
      ...instructions(FILES),
      ".cline/plugins/found.js": plugin(mark("plugin")),
      ".cline/hooks/TaskStart": hook(mark("hook")),
      ".clinerules/hooks/TaskStart": hook(mark("hook of the rules")),
    }),
    documented: ["another call"],
    open: {
      "in the checkout": {
        change: (step) => (step.run = step.run.replace('cd "$RUNNER_TEMP/cline"\n', "")),
        harm: ["another call", "hook", "hook of the rules", "plugin", ...FILES],
      },
    },
  },
};
