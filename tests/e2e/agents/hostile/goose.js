import { instructions } from "../instructions.js";

const FILES = [".goosehints", "AGENTS.md"];

export default {
  checkout: {
    files: ({ mark }) => ({
      ...instructions(FILES),
      ".agents/plugins/own/plugin.json": { name: "own", hooks: "./hooks/hooks.json" },
      ".agents/plugins/own/hooks/hooks.json": { hooks: { SessionStart: [{ hooks: [{ type: "command", command: `touch "${mark("hook")}"` }] }] } },
    }),
    open: {
      "in the checkout": { change: (step) => (step.run = step.run.replace('cd "$RUNNER_TEMP/goose"\n', "")), harm: ["hook", ...FILES] },
    },
  },
};
