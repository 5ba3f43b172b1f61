export default {
  environment: (model) => ({ API_KEY: "none", BASE_URL: `${model}/v1`, MODEL: "fake" }),
  slashCommand: "/clear",
  insertsFiles: ["another file"],
  enforcesTools: () => false,
  expandsNoVariables: true,
  tools: {
    run_commands: ({ commands }) => commands.map((command) => ({ commands: [command] })),
    read_files: ({ files }) => files.map((path) => ({ files: [{ path }] })),
  },
};
