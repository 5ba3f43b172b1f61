import { nothing } from "../reads.js";

export default {
  environment: (model) => ({ API_KEY: "none", BASE_URL: `${model}/v1`, MODEL: "fake" }),
  slashCommand: "/clear",
  insertsFiles: ["another file"],
  enforcesTools: () => false,
  expandsNoVariables: true,
  tools: {
    run_commands: ({ commands }) => commands.map((command) => ({ commands: [command] })),
    read_files: ({ files }) => files.map((path) => ({ files: [{ path }] })),
    ...nothing(
      "ask_question editor fetch_web_content search_codebase spawn_agent team_attach_outcome_fragment team_await_runs team_broadcast team_cancel_run " +
        "team_cleanup team_create_outcome team_finalize_outcome team_list_outcomes team_list_runs team_mission_log team_read_mailbox " +
        "team_review_outcome_fragment team_run_task team_send_message team_shutdown_teammate team_spawn_teammate team_status team_task",
    ),
  },
};
