import { shell } from "../reads.js";

export default {
  environment: () => ({ GEMINI_MODEL: "gemini-2.5-pro" }),
  slashCommand: "/init",
  insertsFiles: ["README.md"],
  enforcesTools: () => true,
  tools: {
    run_shell_command: shell,
    read_file: ({ files }) => files.map((file_path) => ({ file_path })),
    list_directory: ({ directories }) => directories.map((dir_path) => ({ dir_path })),
    glob: ({ directories }) => directories.map((dir_path) => ({ pattern: "**/*", dir_path })),
  },
  hidden: ["run_shell_command", "read_file", "list_directory", "glob"],
  also: {
    "with a checkout": { base: () => ({ tools: { core: ["read_file", "list_directory", "glob"] } }) },
  },
  unprotected: {
    "with its own tools": { base: () => ({ tools: {} }) },
  },
};
