// MCP Inspector represents all other clients. It does not expand variables.
export default {
  expandsNoVariables: true,
  callsWithoutModel: true,
  // Adds a call of the other tool, which must fail.
  callsTheOther: (step) => (step.run += `\n! ${step.run.replace("list_blueprints", "delete_entity")}`),
};
