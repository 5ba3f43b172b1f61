import { nothing, shell } from "../reads.js";

const disallow = (tools) => (step) => (step.with.claude_args = step.with.claude_args.replace(/--disallowedTools Bash.*\n/, tools));
const withAll = disallow("");

// The tools in these texts are not in the requests until the model loads them.
const TEXT = /The following deferred tools are now available.*?\\n(.*?)\\n\\n/g;

export default {
  environment: (model) => ({
    ANTHROPIC_API_KEY: "none",
    ANTHROPIC_BASE_URL: model,
    CLAUDE_CODE_MAX_RETRIES: "0",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
  }),
  showsOnlyNames: true,
  slashCommand: "/compact",
  enforcesTools: () => true,
  tools: {
    // The subagent makes the same calls.
    Agent: () => [{ description: "Read", prompt: "Read", subagent_type: "general-purpose" }],
    // The model must load these tools before it calls them.
    ToolSearch: () => [{ query: "select:CronCreate,CronDelete,CronList,EnterWorktree,ExitWorktree,Monitor,NotebookEdit,SendMessage,TaskStop,WebFetch,WebSearch", max_results: 20 }],
    Bash: shell,
    Monitor: ({ commands }) => commands.map((command) => ({ command, description: "Look around", timeout_ms: 1000, persistent: false })),
    Read: ({ files }) => files.map((file_path) => ({ file_path })),
    Glob: ({ directories }) => directories.map((path) => ({ pattern: "**/*", path })),
    Grep: ({ files, directories, pattern }) => [...files, ...directories].map((path) => ({ pattern, path, output_mode: "content", "-A": 1 })),
    Edit: ({ files }) => files.map((file_path) => ({ file_path, old_string: "access_token", new_string: "" })),
    NotebookEdit: ({ files }) => files.map((notebook_path) => ({ notebook_path, new_source: "" })),
    WebFetch: () => [{ url: "file:///proc/self/environ", prompt: "Read" }],
    Workflow: () => [{ script: 'export const meta = { name: "read", description: "Read", phases: [] };\nreturn String(globalThis.process?.env?.PORT_MCP_TOKEN);' }],
    ...nothing("CronCreate CronDelete CronList DeferredToolPlaceholder EnterWorktree ExitWorktree ListAgents ReportFindings ScheduleWakeup SendMessage Skill TaskStop WebSearch Write"),
  },
  hidden: ["Bash", "EnterWorktree", "Monitor", "WebFetch", "WebSearch"],
  moreTools: (received) => received.flatMap(({ body }) => [...body.matchAll(TEXT)].flatMap(([, names]) => names.split("\\n"))),
  // Without Bash, Claude Code has Glob and Grep instead.
  switchedOff: { "with only --disallowedTools Bash": { change: disallow("--disallowedTools Bash\n"), tools: ["EnterWorktree", "WebFetch", "WebSearch"] } },
  also: {
    "in the README": { workflow: "quickstart" },
    "in the page of the gateway": { workflow: "gateway" },
    "with @beta": { workflow: "claude-code-beta" },
  },
  unprotected: {
    "with the token in the configuration and without --disallowedTools": { inputs: { token_placement: "inline" }, change: withAll },
    "with --allowedTools Bash": {
      change: (step) => {
        withAll(step);
        step.with.claude_args += " --allowedTools Bash";
      },
    },
  },
};
