# shellcheck shell=bash
# The templates of a release in a repository that uses them. act takes the repositories
# that they name from this machine instead of from GitHub: the action and the reusable
# workflow at the commits that the release wrote into the templates, and fake actions in
# place of other projects' actions.

released=$scratch/released
caller=$scratch/caller
# A value that differs from all other secrets.
model_key="e2e-model-key"
# The only token that the fake GitHub accepts (`GITHUB_TOKEN` of tests/fake-port).
policy_token=ghs_c4Rw9ZqK2mXv7TbN0sYhF5uJgL8pDe3AoV1i

# Creates the commits of a release on a copy of this repository.
organization() {
  local commits=() commit
  mkdir --parents "$released" "$caller/.github/workflows"
  git ls-files --cached --others --exclude-standard -z | tar --create --null --files-from - | tar --extract --directory "$released"
  repository_of "$released"
  (cd "$released" && .github/release/commits e2e-org/port-mcp-action 9.9.9 "$image" /dev/null)
  mapfile -t commits < <(git -C "$released" rev-list --max-count 3 HEAD)
  [[ $(git -C "$released" diff --name-only "${commits[1]}" "${commits[2]}") == .github/workflows/port-agent.yml ]] ||
    fail 'the commit of the reusable workflow changes other files'

  replaced=()
  for commit in "${commits[@]:1}"; do
    git -C "$released" worktree add --quiet --detach "$scratch/at-$commit" "$commit"
    replaced+=(--local-repository "e2e-org/port-mcp-action@$commit=$scratch/at-$commit")
  done
  commits_at=$scratch/at-${commits[1]}
  fake_action anthropics/claude-code-action
  fake_action anthropics/claude-code-action beta
  fake_action actions/upload-artifact
  fake_action actions/checkout
  fake_action openai/codex-action
  fake_action google-github-actions/run-gemini-cli

  cp "$released"/.github/workflow-templates/*.yml "$caller/.github/workflows/"
  ask codex ''
  ask gemini-cli ''
  # Copilot CLI requires a model if the provider is not GitHub.
  ask copilot-cli scripted
  repository_of "$caller"
}

# The policies that the documents show.
example_policies() {
  local policy
  for policy in docs/examples/policy-*.yml; do
    docker run --rm --entrypoint /port-mcp --volume "$repository/$policy:/port-mcp.yml:ro" "$image" policy check /port-mcp.yml
  done
  docker run --rm --entrypoint /port-mcp --volume "$repository/docs/examples:/examples:ro" "$image" \
    policy test /examples/test-policy-minimal.yml
}

# The documented check of a policy: its errors name the file as the repository does, so that GitHub shows them at their
# lines. With --bind, the job has the paths of this machine, as on GitHub's runner.
policy_check() {
  local directory=$scratch/policy status=0 more_volumes
  more_volumes="--volume $(command -v docker):/usr/bin/docker:ro"
  mkdir --parents "$directory/.github/workflows"
  sed "s,ghcr.io/OWNER/port-mcp-action:v1,$image," docs/workflows/policy-check.yml >"$directory/.github/workflows/check.yml"
  printf 'version: 1\nname: x\nrules:\n  - allow: { tools: [mcp__port__list_entities] }\n' >"$directory/port-mcp.yml"
  repository_of "$directory"
  (event=pull_request act_on "$directory" "$directory/.github/workflows/check.yml" --bind) || status=$?
  show_log
  ((status)) || fail 'the check accepted a policy that is not valid'
  in_log '::error file=port-mcp.yml,line=2,col=1,title=Port MCP [policy-invalid]::' \
    '::error file=port-mcp.yml,line=4,col=22,title=Port MCP [policy-invalid]::'
}

# fake_action OWNER/NAME [BRANCH]: replaces an action at every commit and version tag that
# a workflow uses, or at the branch.
fake_action() {
  local name=${1#*/}${2:+-$2} copy references=() reference
  copy=$scratch/fake-$name
  cp --recursive "$e2e/fake-actions/$name" "$copy"
  repository_of "$copy"
  if [[ ${2:-} ]]; then
    references=("$1@$2")
  else
    mapfile -t references < <(grep --no-filename --only-matching --extended-regexp "$1@([0-9a-f]{40}|v[0-9]+)" \
      --recursive "$released"/{.github,docs/workflows,README.md} | sort --unique)
  fi
  for reference in "${references[@]}"; do
    replaced+=(--local-repository "$reference=$copy")
  done
}

# Workflows that call the reusable workflow, one for each of its agents.
callers=(port-question ask-codex ask-gemini-cli ask-copilot-cli)

# The scripts of the models. Claude Code shows the model only the names of the tools, so its script
# has the names that it uses.
model_script=list_blueprints
claude_script=mcp__port__list_blueprints

# template NAME [ARGUMENT...]
template() {
  local status=0
  run_template "$@" || status=$?
  show_log
  ((status == 0)) || fail "act exited with status $status"
}

# Runs the workflow as a user with write access. All jobs share one RUNNER_TEMP here. The jobs of a matrix
# use it at the same time.
run_template() {
  rm -rf --one-file-system "$scratch/runner-temp"
  mkdir "$scratch/runner-temp"
  (act_on "$caller" "$caller/.github/workflows/$1.yml" "${replaced[@]}" \
    --platform "ubuntu-24.04=$runner_image" --actor octocat \
    --secret "ANTHROPIC_API_KEY=$model_key" --secret "OPENAI_API_KEY=$model_key" --secret "GEMINI_API_KEY=$model_key" \
    --secret "COPILOT_GITHUB_TOKEN=$model_key" --secret GITHUB_TOKEN=ghs_e2e \
    --env "MODEL_URL=$API_URL/model/$model_script" --env "GITHUB_API_URL=$GITHUB_API_URL" \
    --env "ANTHROPIC_BASE_URL=$API_URL/model/$claude_script" \
    --env CLAUDE_CODE_MAX_RETRIES=0 --env CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 \
    --env COPILOT_OFFLINE=true --env COPILOT_PROVIDER_API_KEY=none --env "COPILOT_PROVIDER_BASE_URL=$API_URL/model/$model_script/v1" \
    --env NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
    --var "PORT_API_URL=$API_URL" "${@:2}")
}

# template_fails NAME [ARGUMENT...]
template_fails() {
  local status=0
  run_template "$@" || status=$?
  show_log
  ((status)) || fail 'act succeeded'
}

# answers TEXT: writes a script for a model that calls no tool, and prints it as a segment of a URL.
answers() {
  jq --null-input --arg text "$1" '[{$text}]' >"$scratch/script.json"
  jq --null-input --raw-output --arg path "$scratch/script.json" '$path | @uri'
}

# to_model TEXT...: each text is in a request to the model since the last call of `forget_requests`.
to_model() {
  local text
  for text; do
    since_forgotten | jq --exit-status --arg text "$text" 'any(.body | contains($text | tojson[1:-1]))' >/dev/null ||
      fail "no request to the model contains: $text"
  done
}

not_to_model() {
  since_forgotten | jq --exit-status --arg text "$1" 'all(.body | contains($text | tojson[1:-1]) | not)' >/dev/null ||
    fail "a request to the model contains: $1"
}

since_forgotten() {
  curl --silent --show-error --fail "$API_URL/control/received" |
    jq --argjson forgotten "$forgotten" '[.[$forgotten:][] | select(.path | startswith("/model/"))]'
}

forget_requests() {
  forgotten=$(requests)
}

port_question() {
  local before
  before=$(calls)
  forget_requests
  template port-question --input 'question=Who owns "checkout"?'
  in_log 'artifact port-agent-answer:' 'That is all.'
  # The question, and only the granted tools, reach the model.
  to_model 'Who owns "checkout"?' mcp__port__list_blueprints mcp__port__list_entities
  not_to_model mcp__port__delete_entity
  (($(calls) > before)) || fail 'no call reached the server'
}

# directly NAME: the workflow without the gateway, as NAME-directly.
directly() {
  sed 's/^    with:$/&\n      connection: direct/' "$caller/.github/workflows/$1.yml" >"$caller/.github/workflows/$1-directly.yml"
}

# A secret in an answer stays in the job. Without the gateway, the agent has Port's own token.
secret_in_answer() {
  local encode token=${secrets[2]}
  directly port-question
  for encode in cat 'base64 --wrap 0'; do
    claude_script=$(answers "It is $($encode <<<"$token").") template_fails port-question-directly --input 'question=What is your token?'
    in_log 'a secret of this job'
    not_in_log 'artifact port-agent-answer:'
  done
}

# shown NAME: the workflow as NAME-shown, which prints the answer.
shown() {
  # shellcheck disable=SC2016 # text of the workflow
  sed 's/ >>"$GITHUB_STEP_SUMMARY"$//' "$caller/.github/workflows/$1.yml" >"$caller/.github/workflows/$1-shown.yml"
}

# What is posted has no images, mentions, and links to other hosts.
links_in_answer() {
  shown port-question
  # shellcheck disable=SC2016 # the backticks are part of the answer
  claude_script=$(answers '![](https://evil.example) by @user in `@code`') template port-question-shown --input 'question=Who?'
  # shellcheck disable=SC2016
  in_log '!\[]\(https[:]//evil.example) by [@]user in `@code`' 'Disarmed images, links, and mentions: 2.'
}

# GitHub drops an output of a job that contains a masked value. act does not, so here the job returns none.
answer_dropped() {
  changed 's/^      \(answer\|disarmed\): .*steps\.answer.*$/      \1: ""/'
  shown changed
  template changed-shown --input 'question=Who owns checkout?'
  # shellcheck disable=SC2016 # the backticks are part of the message
  in_log 'GitHub dropped the answer of the agent' 'The artifact `port-agent-answer` of'
}

# ask AGENT MODEL: writes a workflow that runs the agent with the reusable workflow.
ask() {
  local key lines=''
  for key in OPENAI_API_KEY GEMINI_API_KEY COPILOT_GITHUB_TOKEN; do
    lines+="\\n      $key: \${{ secrets.$key }}"
  done
  sed "s/^    with:\$/&\\n      agent: $1\\n      model: '$2'/; s/^    secrets:\$/&$lines/" \
    "$caller/.github/workflows/port-question.yml" >"$caller/.github/workflows/ask-$1.yml"
}

# Runs the real programs with the scripted model, which calls a granted tool.
all_agents() {
  local agent before
  for agent in codex gemini-cli copilot-cli; do
    before=$(calls)
    forget_requests
    template "ask-$agent" --input 'question=Who owns checkout?'
    in_log 'artifact port-agent-answer:' 'That is all.'
    to_model 'Who owns checkout?' list_blueprints
    (($(calls) > before)) || fail "no call of $agent reached the server"
  done
}

# Everything that Gemini CLI answers is in the summary of its action, which writes it before the answer
# is searched for secrets.
answer_in_summary() {
  model_script=$(answers 'The answer is in the summary.') template ask-gemini-cli --input 'question=Who owns checkout?'
  in_log '### Gemini CLI Execution' '#### Response' 'The answer is in the summary.' 'artifact port-agent-answer:'
}

# The action of Gemini CLI ends its output at the first line `EOF` of the answer.
answer_with_delimiter() {
  model_script=$(answers $'first line\nEOF\nlast line') template_fails ask-gemini-cli --input 'question=Who owns checkout?'
  in_log 'Failure - Main Ask Gemini'
  not_in_log 'artifact port-agent-answer:'
}

# The model is not available. The other agents try again for a long time after a status other than 401.
model_unavailable() {
  local agent status
  for status in 401 529; do
    claude_script=$status template_fails port-question --input 'question=Who owns checkout?'
    in_log 'Claude execution failed: result is_error:true' 'Failure - Main Ask Claude Code'
    not_in_log 'artifact port-agent-answer:'
  done
  for agent in codex gemini-cli copilot-cli; do
    model_script=401 template_fails "ask-$agent" --input 'question=Who owns checkout?'
    not_in_log 'artifact port-agent-answer:'
  done
}

# Claude Code starts before the server has answered, and its conversation says `pending`. Then only a
# result of a tool shows that it had the server.
server_pending() {
  local name pending=(--env CLAUDE_CODE_MCP_STARTUP_WAIT_MS=1)
  template port-question --input 'question=Who owns checkout?' "${pending[@]}"
  in_log 'artifact port-agent-answer:'
  outage '"hang"'
  for name in port-question port-question-directly; do
    claude_script=$(answers 'An invention.') template_fails "$name" --input 'question=Who owns checkout?' "${pending[@]}"
    # shellcheck disable=SC2016 # the backticks are part of the message
    in_log 'Success - Main Ask Claude Code' 'the agent could not connect to the MCP server `port`'
    not_in_log 'artifact port-agent-answer:'
  done
  # shellcheck disable=SC2016
  in_log 'its status is `pending`'
  outage null
}

# changed SED-SCRIPT: the reusable workflow with another step of Claude Code, and `changed`, which
# calls it.
changed() {
  local workflow=$caller/.github/workflows/port-agent-changed.yml
  sed "$1" "${commits_at:?}/.github/workflows/port-agent.yml" >"$workflow"
  ! cmp --silent "$workflow" "$commits_at/.github/workflows/port-agent.yml" || fail 'the workflow was not changed'
  sed 's,uses: e2e-org/port-mcp-action/.*,uses: ./.github/workflows/port-agent-changed.yml,' \
    "$caller/.github/workflows/port-question.yml" >"$caller/.github/workflows/changed.yml"
}

# Without the server, Claude Code answers with an invention, and its action succeeds. Here, a comment
# hides the configuration, as it would in `claude_args` of a user.
server_missing() {
  local name
  changed 's/--disallowedTools Bash.*$/& # no shell/'
  directly changed
  for name in changed changed-directly; do
    template_fails "$name" --input 'question=Who owns checkout?'
    in_log 'Success - Main Ask Claude Code'
    not_in_log 'artifact port-agent-answer:'
  done
}

turns_exhausted() {
  changed 's/--disallowedTools Bash.*$/& --max-turns 1/'
  template_fails changed --input 'question=Who owns checkout?'
  in_log 'Claude execution failed: Reached maximum number of turns (1)' 'Failure - Main Ask Claude Code'
  not_in_log 'artifact port-agent-answer:'
}

# The agents' actions reject who may not start them. With the reusable workflow, nothing is connected then.
not_permitted() {
  template_fails documented-codex --actor outsider
  in_log "Actor 'outsider' must have write access to" "Detected permission: 'read'."
  template_fails documented-claude-code --actor 'renovate[bot]'
  in_log 'Workflow initiated by non-human actor: renovate (type: Bot).'
  sed 's/^on: .*/on: push/' "$caller/.github/workflows/documented-claude-code.yml" >"$caller/.github/workflows/on-push.yml"
  event=push template_fails on-push
  in_log 'Unsupported event type: push'
  template_fails ask-codex --input 'question=Who owns checkout?' --actor outsider
  # shellcheck disable=SC2016 # the backticks are part of the message
  in_log '`codex` does not start for `outsider`, who cannot write'
  not_in_log 'Run Main Connect to Port'
  template_fails port-question --input 'question=Who owns checkout?' --actor 'renovate[bot]'
  # shellcheck disable=SC2016
  in_log '`claude-code` does not start for `renovate[bot]`, which is a bot'
  not_in_log 'Run Main Connect to Port'
}

# The action of Codex takes `sudo` away, and requires it for that.
no_sudo() {
  local more_volumes='--volume /dev/null:/usr/bin/sudo'
  template_fails documented-codex
  in_log 'Unexpected: passwordless sudo not available.'
  template_fails ask-codex --input 'question=Who owns checkout?'
  # shellcheck disable=SC2016 # the backticks are part of the message
  in_log '`codex` requires a runner on which `sudo` needs no password'
  not_in_log 'Run Main Connect to Port'
}

# Without the gateway, the answer of each agent says whether it had Port's tools.
without_the_gateway() {
  local name
  for name in "${callers[@]}"; do
    directly "$name"
    template "$name-directly" --input 'question=Who owns checkout?'
    in_log 'artifact port-agent-answer:' 'That is all.'
  done
}

# If an agent does not reach Port, its answer is not based on Port's data, so the job must
# fail. The gateway says what Port answered.
agent_without_port() {
  local name
  outage '{"status": {"status": 503}}'
  for name in "${callers[@]}"; do
    template_fails "$name-directly" --input 'question=Who owns checkout?'
    not_in_log 'artifact port-agent-answer:'
    template_fails "$name" --input 'question=Who owns checkout?'
    not_in_log 'artifact port-agent-answer:'
    in_log 'no agent connected to Port through the gateway.' 'the MCP server returned a server error (503 Service Unavailable'
  done
  outage null
}

# On a pull request, the action of Claude Code requires a work tree, even without `checkout`.
pull_request() {
  local event=pull_request
  jq --null-input '{pull_request: {number: 7, base: {ref: "main", sha: "0123456789012345678901234567890123456789"}, head: {ref: "change"}}}' >"$scratch/event.json"
  sed '/^on:/,/^$/c on: pull_request\n' "$caller/.github/workflows/port-question.yml" >"$caller/.github/workflows/on-pull-request.yml"
  template on-pull-request --eventpath "$scratch/event.json"
  in_log 'checked out 0123456789012345678901234567890123456789' 'artifact port-agent-answer:'
}

# Runs the workflow in the README and the workflows of agents with their own action as in
# a release, with the fake Port server.
documented() {
  local name before documents=$scratch/documents names=(readme claude-code claude-code-beta codex gemini-cli)
  mkdir "$documents"
  cp "$released"/docs/workflows/{claude-code,claude-code-beta,codex,gemini-cli}.yml "$documents/"
  awk '/^```yaml$/ {inside = 1; next} inside && /^```$/ {exit} inside' "$released/README.md" >"$documents/readme.yml"
  for name in "${names[@]}"; do
    sed "s,^\( *\)client_secret: .*,&\n\1api_url: $API_URL\n\1mcp_url: $MCP_URL," \
      "$documents/$name.yml" >"$caller/.github/workflows/documented-$name.yml"
    before=$(calls)
    template "documented-$name"
    (($(calls) > before)) || fail "no call of the workflow $name reached the server"
  done
}

# Prints the number of tool calls that the server received.
calls() {
  curl --silent --show-error --fail "$API_URL/control/received" | jq '[.[] | select(.body | contains("tools/call"))] | length'
}

port_matrix() {
  template port-matrix
  in_log 'artifact port-agent-answer-payments:' 'artifact port-agent-answer-search:'
}

# The documented reusable workflow of an organization, its policy, and the templates, which the documented command
# makes to call it.
documented_organization() {
  local files=$scratch/acme-.github command event_of name event job
  mkdir --parents "$files/.github/workflows" "$scratch/acme/.github/workflows"
  cp "$released/docs/workflows/organization.yml" "$files/.github/workflows/port.yml"
  sed --in-place "s,^      region: eu,&\n      api_url: $API_URL\n      mcp_url: $MCP_URL," "$files/.github/workflows/port.yml"
  repository_of "$files"
  cp --recursive .github/workflow-templates "$scratch/acme/"
  command=$(awk '/^sed --in-place/ {inside = 1} inside && /^```$/ {exit} inside' docs/organization.md)
  (cd "$scratch/acme" && bash -euc "$command" && mv workflow-templates/*.yml .github/workflows/)
  repository_of "$scratch/acme"
  git -C "$scratch/acme" remote add origin https://github.com/acme/catalog
  # shellcheck disable=SC2016 # $name is a variable of jq
  event_of='{
    "port-review": {pull_request: {number: 7, base: {ref: "main", sha: ("0" * 40)}, head: {ref: "change", repo: {full_name: "acme/catalog"}}}, sender: {type: "User"}},
    "port-incident": {issue: {number: 8, title: "checkout is down", body: "since 10:00"}, label: {name: "incident"}}
  }[$name] // {}'
  caller=$scratch/acme
  replaced+=(--local-repository "acme/.github@main=$files")
  for name in port-question:workflow_dispatch:show port-review:pull_request:review port-scorecards:schedule:report \
    port-incident:issues:triage port-matrix:workflow_dispatch:ask; do
    IFS=: read -r name event job <<<"$name"
    jq --null-input --arg name "$name" "$event_of" >"$scratch/event.json"
    event=$event template "$name" --eventpath "$scratch/event.json" --job "$job" --input 'question=Who owns checkout?' \
      --secret "POLICY_TOKEN=$policy_token" --matrix team:search
    # shellcheck disable=SC2016 # the backticks are part of the message
    in_log 'rule 2 (`everyone reads`) of acme/.github/port-mcp.yml@main' 'artifact port-agent-answer' \
      'artifact port-agent-audit' '"repository":"acme/catalog"'
  done
  # Of the matrix, only one job: in act, jobs of a workflow that calls a workflow have the same name.
  in_log 'artifact port-agent-answer-search:' 'artifact port-agent-audit-search:'
}

# The same fake organization for both regions.
port_regions() {
  local before
  before=$(calls)
  forget_requests
  claude_script=mcp__port-eu__list_blueprints,mcp__port-us__list_blueprints template port-regions \
    --secret "PORT_EU_CLIENT_ID=$client_id" --secret "PORT_EU_CLIENT_SECRET=$client_secret" \
    --secret "PORT_US_CLIENT_ID=$client_id" --secret "PORT_US_CLIENT_SECRET=$client_secret" \
    --var "PORT_EU_API_URL=$API_URL" --var "PORT_EU_MCP_URL=$MCP_URL" \
    --var "PORT_US_API_URL=$API_URL" --var "PORT_US_MCP_URL=$MCP_URL"
  to_model mcp__port-eu__list_blueprints mcp__port-eu__list_entities mcp__port-us__list_blueprints
  not_to_model mcp__port-us__list_entities
  (($(calls) == before + 2)) || fail 'the calls of both servers did not reach Port'
}

port_two_jobs() {
  local before
  before=$(calls)
  forget_requests
  template port-two-jobs
  in_log 'Success - Main Ask Claude Code'
  to_model mcp__port__list_blueprints mcp__port__list_entities
  # A job for each of two blueprints.
  (($(calls) == before + 2)) || fail 'the calls of both jobs did not reach Port'
  not_in_log 'Skip output'
}
