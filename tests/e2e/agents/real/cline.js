export default {
  model: true,
  environment: (model) => ({ API_KEY: "none", BASE_URL: `${model}/v1`, MODEL: "sandbox" }),
  keepsToTheList: () => false,
  cannot: [["token_placement", "env"]],
};
