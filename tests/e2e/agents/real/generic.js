// Stands for all other clients; MCP Inspector expands no variable.
export default {
  expandsNothing: true,
  callsWithoutModel: true,
};
