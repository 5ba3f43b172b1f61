import { shell } from "../reads.js";

const on = (name) => ({ [name]: { type: "platform", name, description: "", enabled: true } });

export default {
  environment: (model) => ({
    GOOSE_PROVIDER: "anthropic",
    GOOSE_MODEL: "fake",
    ANTHROPIC_API_KEY: "none",
    ANTHROPIC_HOST: model,
    GOOSE_DISABLE_KEYRING: "1",
  }),
  enforcesTools: () => true,
  tools: {
    extensionmanager__manage_extensions: () => [{ action: "enable", extension_name: "developer" }],
    shell,
  },
  hidden: ["extensionmanager__manage_extensions", "shell"],
  switchedOff: {
    "with the extension that turns on others": {
      base: () => ({ extensions: on("extensionmanager") }),
      tools: ["extensionmanager__manage_extensions", "extensionmanager__search_available_extensions"],
    },
  },
  unprotected: {
    "with the extension that turns on the shell": { base: () => ({ extensions: on("extensionmanager") }) },
    "with its shell": { base: () => ({ extensions: on("developer") }) },
  },
};
