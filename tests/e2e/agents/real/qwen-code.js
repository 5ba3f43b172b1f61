import { nothing, shell, withoutDeletion } from "../reads.js";

// The tools in this text are not in the requests: the model finds them with `tool_search`.
const TEXT = /\\n- \\"([\w-]+)\\": /g;

const OTHERS = ["agent", "enter_worktree", "web_fetch"];
const reading = () => ({ permissions: { deny: ["Read(//proc/**)", ...OTHERS] } });

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
    ...nothing(
      "cron_create cron_delete cron_list enter_worktree exit_worktree get_goal list_agents loop_wakeup read_mcp_resource record_artifact " +
        "report_findings send_message skill task_stop update_goal web_fetch zoom_image",
    ),
  },
  moreTools: (received) => received.flatMap(({ body }) => [...body.matchAll(TEXT)].map(([, tool]) => tool)),
  hidden: ["run_shell_command", "read_file", "glob", "grep_search", "zoom_image", ...OTHERS],
  switchedOff: {
    "without its rules": {
      base: () => ({ permissions: {} }),
      tools: ["read_file", "glob", "grep_search", "zoom_image", ...OTHERS],
    },
  },
  also: {
    "with a checkout": { base: reading, change: (step) => (step.run = step.run.replace("xargs qwen", 'xargs qwen --include-directories "$GITHUB_WORKSPACE"')) },
  },
  unprotected: {
    "with a checkout, without the step that deletes files": { base: reading, change: withoutDeletion },
    "without its rules": { base: () => ({ permissions: {} }) },
  },
};
