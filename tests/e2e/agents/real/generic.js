// Stands for all other clients; MCP Inspector expands no variable.
export default {
  cannot: [["token_placement", "env"]],
};
