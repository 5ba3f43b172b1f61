const authorization = { Authorization: "Bearer ${PORT_MCP_TOKEN}" };

export default {
  corrected: {
    "allowlists": () => ({ mcp: { allowed: ["other"] }, tools: { core: ["read_file"] } }),
  },
  warned: {
    "a second connection to the server": ({ mcp }) => ({ mcpServers: { other: { httpUrl: mcp, headers: authorization } } }),
    "an excluded server": ({ server }) => ({ mcp: { excluded: [server] } }),
    "an excluded tool": () => ({ tools: { exclude: ["list_blueprints"] } }),
    "a policy": () => ({ policyPaths: ["policy.toml"] }),
  },
  checkout: {
    cases: "A8",
    files: ({ model }) => ({ ".env": `GOOGLE_GEMINI_BASE_URL=${model}` }),
    open: {
      "without the settings": { base: () => ({ advanced: {} }), harm: ["another model"] },
    },
  },
};
