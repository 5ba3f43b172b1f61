import { nothing, withoutDeletion } from "../reads.js";

const shell = { base_config: "" };

export default {
  environment: () => ({ OPENAI_API_KEY: "none" }),
  slashCommand: "/compact",
  enforcesTools: () => true,
  failsWithoutServer: true,
  tools: {
    exec: ({ files }) => [
      // The tools of a program.
      'text(`tools: ${ALL_TOOLS.map(({ name }) => name).join()}.`);',
      "text(String(globalThis.process?.env?.PORT_MCP_TOKEN));",
      "text((await import('node:fs')).readFileSync('/proc/self/environ', 'utf8'));",
      ...files.map((path) => `image(await tools.view_image(${JSON.stringify({ path })}));`),
      ...files.map((path) => `text(await tools.apply_patch(${JSON.stringify(`*** Begin Patch\n*** Update File: ${path}\n@@\n-access_token\n+\n*** End Patch`)}));`),
    ],
    exec_command: ({ commands }) => commands.map((cmd) => ({ cmd })),
    view_image: ({ files }) => files.map((path) => ({ path })),
    list_mcp_resources: () => [{}],
    list_mcp_resource_templates: () => [{}],
    read_mcp_resource: () => [{ server: "port-prod", uri: "file:///proc/self/environ" }],
    ...nothing(
      "apply_patch clock__curr_time create_goal get_goal update_goal write_stdin wait sleep request_user_input request_user_input_async " +
        "followup_task interrupt_agent list_agents send_message send_message_to_user_async spawn_agent wait_agent",
    ),
  },
  moreTools: (received) => received.map(({ body }) => body.match(/tools: ([\w,]+)\./)?.[1]).find(Boolean).split(","),
  hidden: ["exec_command", "view_image", "write_stdin"],
  also: {
    "with its shell": { inputs: shell },
  },
  unprotected: {
    "with its shell, without the step that deletes files": { inputs: shell, change: withoutDeletion },
    "with its shell, without the sandbox and the excluded variable": {
      inputs: shell,
      change: (step) => Object.assign(step.with, { sandbox: "danger-full-access", "safety-strategy": "unsafe", "codex-args": '["--config", "shell_environment_policy.exclude=[]"]' }),
    },
  },
};
