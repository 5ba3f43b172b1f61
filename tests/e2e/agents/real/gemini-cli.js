export default {
  environment: (model) => ({ GEMINI_API_KEY: "none", GEMINI_MODEL: "gemini-2.5-pro", GOOGLE_GEMINI_BASE_URL: model }),
  // With another address than Google's it takes no key unless it is told to.
  prepare: ({ write }) => {
    write(".gemini/settings.json", { security: { auth: { selectedType: "gemini-api-key" } } });
  },
  keepsToTheList: () => true,
};
