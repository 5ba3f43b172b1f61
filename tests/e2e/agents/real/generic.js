// MCP Inspector represents all other clients. It does not expand variables.
export default {
  expandsNoVariables: true,
  callsWithoutModel: true,
};
