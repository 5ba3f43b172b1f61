import { nothing, shell, withoutDeletion } from "../reads.js";

export default {
  environment: (model) => ({ OPENAI_API_KEY: "none", OPENAI_BASE_URL: `${model}/v1`, OPENAI_MODEL: "fake" }),
  showsOnlyNames: true,
  slashCommand: "/clear",
  enforcesTools: () => true,
  tools: {
    agent: () => [{ description: "Read", prompt: "Read", subagent_type: "general-purpose" }],
    // The model must load these tools before it calls them.
    tool_search: () => ["shell", "file", "web", "select:edit,write_file,list_directory,web_fetch"].map((query) => ({ query, max_results: 20 })),
    tool_call: (places) => shell(places).map((args) => ({ name: "run_shell_command", arguments: args })),
    run_shell_command: shell,
    read_file: ({ files }) => files.map((file_path) => ({ file_path })),
    glob: ({ directories }) => directories.map((path) => ({ pattern: "*", path })),
    grep_search: ({ files, directories, pattern }) => [...files, ...directories].map((path) => ({ pattern, path })),
    ...nothing("get_goal list_agents respond_in_schema skill update_goal"),
  },
  hidden: ["run_shell_command"],
  also: {
    "with a checkout": { change: (step) => (step.run = step.run.replace("xargs qwen", 'xargs qwen --include-directories "$GITHUB_WORKSPACE"')) },
  },
  unprotected: {
    "without the step that deletes files": { change: withoutDeletion },
    "without the denied directory": { base: () => ({ permissions: {} }) },
  },
};
