import { readFileSync } from "node:fs";

// What the reusable workflow takes from Gemini must not take Port's tools along.
const workflow = readFileSync(new URL("../../../../.github/workflows/port-agent.yml", import.meta.url), "utf8");
const [, exclusions] = workflow.match(/'({"tools":{"exclude":.*?}})'/);

export default {
  environment: (model) => ({ GEMINI_API_KEY: "none", GEMINI_MODEL: "gemini-2.5-pro", GOOGLE_GEMINI_BASE_URL: model }),
  // With another address than Google's it takes no key unless it is told to.
  prepare: ({ write }) => {
    write(".gemini/settings.json", { security: { auth: { selectedType: "gemini-api-key" } } });
    return { base_config: exclusions };
  },
  keepsToTheList: () => true,
};
