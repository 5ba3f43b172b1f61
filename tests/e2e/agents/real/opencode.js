import { tmpdir } from "node:os";
import { nothing, shell } from "../reads.js";

const DENIED = { bash: "deny", edit: "deny", task: "deny", webfetch: "deny" };
const reading = () => ({ permission: { ...DENIED, external_directory: { [`${tmpdir()}/*/work/*`]: "allow" } } });

export default {
  prepare: ({ given, model }) => ({
    base_config: JSON.stringify({
      ...JSON.parse(given.base_config),
      // Otherwise, the conversation ends at the first call that is denied.
      experimental: { continue_loop_on_deny: true },
      model: "fake/fake",
      provider: {
        fake: {
          npm: "@ai-sdk/openai-compatible",
          options: { baseURL: `${model}/v1`, apiKey: "none" },
          models: { fake: { name: "fake" } },
        },
      },
    }),
  }),
  slashCommand: "/init",
  enforcesTools: () => true,
  tools: {
    // The subagent makes the same calls.
    task: () => [{ description: "Read", prompt: "Read", subagent_type: "general" }],
    bash: shell,
    read: ({ files, directories }) => [...files, ...directories].map((filePath) => ({ filePath })),
    glob: ({ directories }) => directories.map((path) => ({ pattern: "*", path })),
    grep: ({ files, directories, pattern }) => [...files, ...directories].map((path) => ({ pattern, path })),
    edit: ({ files }) => files.map((filePath) => ({ filePath, oldString: "access_token", newString: "" })),
    webfetch: () => [{ url: "file:///proc/self/environ", format: "text" }],
    skill: () => [{ name: "read" }],
    ...nothing("todowrite write"),
  },
  hidden: ["bash", "edit", "task", "webfetch", "write"],
  switchedOff: {
    "without its rules": { base: () => ({ permission: {} }), tools: ["bash", "edit", "task", "webfetch", "write"] },
  },
  also: {
    "with a checkout": { base: reading, change: (step) => (step.run = `find "$GITHUB_WORKSPACE" -type l -delete\n${step.run}`) },
  },
  unprotected: {
    "with a checkout and its symbolic links": { base: reading },
    "with its shell": { base: () => ({ permission: {} }) },
  },
};
