// Amp uses the models of its own service. So this only checks that it connects, and what it
// reports about permissions. If a permission is rejected, the command also fails.
export default {
  toolsIn: (log) => log.match(/ connected \(\d+ tools: (.*)\)/)?.[1].split(", "),
  environment: () => ({ AMP_API_KEY: "none", AMP_URL: "http://127.0.0.1:9" }),
  // Without a prompt, it does not connect.
  acceptsPrompt: (log) => log.includes("Couldn't connect to the Amp server"),
  command: `
    amp mcp doctor
    amp tools list | grep mcp__port_prod__list_blueprints
    amp permissions test mcp__port_prod__list_blueprints | grep 'action: allow'
    { amp permissions test mcp__port_prod__delete_entity || true; } | grep 'action: reject'
    { amp permissions test Bash --cmd 'printenv PORT_MCP_TOKEN' || true; } | grep 'action: reject'`,
};
