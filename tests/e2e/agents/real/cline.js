export default {
  environment: (model) => ({ API_KEY: "none", BASE_URL: `${model}/v1`, MODEL: "fake" }),
  enforcesTools: () => false,
  expandsNoVariables: true,
};
