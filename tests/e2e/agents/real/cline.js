export default {
  environment: (model) => ({ API_KEY: "none", BASE_URL: `${model}/v1`, MODEL: "sandbox" }),
  keepsToTheList: () => false,
  expandsNothing: true,
};
