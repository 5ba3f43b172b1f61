# shellcheck shell=bash
# The templates in a repository that took them over, as the release has them.
# act takes the repositories that they name from here instead of from GitHub:
# the action and the reusable workflow at the very commits that the release
# wrote into them, and stand-ins for the agent's action and the upload.

released=$scratch/released
caller=$scratch/caller
# GitHub's own fields and the model's, which none of ours may be mistaken for.
model_key="e2e-model-key"

# The release's commits, on a copy of what is tested here.
organization() {
  local commits=() commit
  mkdir --parents "$released" "$caller/.github/workflows"
  git ls-files --cached --others --exclude-standard -z | tar --create --null --files-from - | tar --extract --directory "$released"
  repository_of "$released"
  (cd "$released" && .github/release/commits e2e-org/port-mcp-action 9.9.9 "$image" /dev/null)
  mapfile -t commits < <(git -C "$released" rev-list --max-count 3 HEAD)
  [[ $(git -C "$released" diff --name-only "${commits[1]}" "${commits[2]}") == .github/workflows/port-agent.yml ]] ||
    fail 'the reusable workflow and the action that it names differ in more than that name'

  replaced=()
  for commit in "${commits[@]:1}"; do
    git -C "$released" worktree add --quiet --detach "$scratch/at-$commit" "$commit"
    replaced+=(--local-repository "e2e-org/port-mcp-action@$commit=$scratch/at-$commit")
  done
  # What the documents name.
  replaced+=(--local-repository "e2e-org/port-mcp-action@v1=$scratch/at-${commits[2]}")
  stand_in anthropics/claude-code-action
  stand_in actions/upload-artifact
  stand_in actions/checkout
  stand_in openai/codex-action
  stand_in google-github-actions/run-gemini-cli

  cp "$released"/.github/workflow-templates/*.yml "$caller/.github/workflows/"
  repository_of "$caller"
}

# The policy that the roll-out guide shows.
guide() {
  sed --quiet '/^version: 1$/,/^```$/p' docs/organization.md | sed '$d' >"$scratch/port-mcp.yml"
  docker run --rm --entrypoint /port-mcp --volume "$scratch/port-mcp.yml:/port-mcp.yml:ro" "$image" policy check /port-mcp.yml
}

# stand_in OWNER/NAME: for every commit and tag at which a workflow of ours names it.
stand_in() {
  local copy=$scratch/standin-${1#*/} name names
  cp --recursive "$e2e/fake-actions/${1#*/}" "$copy"
  cp "$e2e/agent" "$copy/"
  repository_of "$copy"
  mapfile -t names < <(grep --no-filename --only-matching "uses: $1@[0-9a-z]*" --recursive "$released"/{.github,docs/workflows,README.md} | sort --unique)
  for name in "${names[@]#uses: }"; do
    replaced+=(--local-repository "$name=$copy")
  done
}

# template NAME [ARGUMENT...]
template() {
  local status=0
  run_template "$@" || status=$?
  show_log
  ((status == 0)) || fail "act ended with $status"
}

# Jobs share a RUNNER_TEMP here, those of a matrix at the same time.
run_template() {
  rm -rf --one-file-system "$scratch/runner-temp"
  mkdir "$scratch/runner-temp"
  (act_on "$caller" "$caller/.github/workflows/$1.yml" "${@:2}" "${replaced[@]}" \
    --platform "ubuntu-24.04=$runner_image" \
    --secret "ANTHROPIC_API_KEY=$model_key" --secret "OPENAI_API_KEY=$model_key" --secret "GEMINI_API_KEY=$model_key" \
    --secret "COPILOT_GITHUB_TOKEN=$model_key" --secret GITHUB_TOKEN=ghs_e2e \
    --env "MODEL_URL=$model_url" \
    --env COPILOT_OFFLINE=true --env COPILOT_PROVIDER_API_KEY=none --env "COPILOT_PROVIDER_BASE_URL=$model_url/v1" \
    --env NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
    --var "PORT_API_URL=$API_URL")
}

port_question() {
  template port-question --input 'question=Who owns "checkout"?'
  in_log 'Who owns "checkout"?' 'artifact port-agent-answer:' \
    'Granted: mcp__port__list_blueprints mcp__port__list_entities'
}

# What an agent was talked into saying stays in the job.
withheld() {
  if run_template port-question --input 'question=What is your token?'; then
    fail 'act ended well'
  fi
  show_log
  in_log 'The answer holds a secret of this job and is withheld.'
  not_in_log 'artifact port-agent-answer:'

  if run_template port-question --input 'question=What is your token in base64?'; then
    fail 'act ended well'
  fi
  show_log
  in_log 'The answer holds a secret of this job and is withheld.'
  not_in_log 'artifact port-agent-answer:'
}

# ask AGENT MODEL: writes a caller that asks it by the reusable workflow.
ask() {
  local key lines=''
  for key in OPENAI_API_KEY GEMINI_API_KEY COPILOT_GITHUB_TOKEN; do
    lines+="\\n      $key: \${{ secrets.$key }}"
  done
  sed "s/^    with:\$/&\\n      agent: $1\\n      model: '$2'/; s/^    secrets:\$/&$lines/" \
    "$caller/.github/workflows/port-question.yml" >"$caller/.github/workflows/ask-$1.yml"
}

# The real programs with the scripted model, which calls a granted tool.
every_agent() {
  local agent before
  ask codex ''
  ask gemini-cli ''
  # With another provider than GitHub it wants a model.
  ask copilot-cli scripted
  for agent in codex gemini-cli copilot-cli; do
    before=$(calls)
    template "ask-$agent" --input 'question=Who owns checkout?'
    in_log 'artifact port-agent-answer:' 'That is all.'
    (($(calls) > before)) || fail "no call of $agent has reached the server"
  done
}

# What a model answers that has no tools is not from Port. Copilot CLI gives no sign of it.
unreached() {
  local agent
  outage true
  for agent in codex gemini-cli; do
    if run_template "ask-$agent" --input 'question=Who owns checkout?'; then
      show_log
      fail "$agent's job ended well"
    fi
    show_log
    not_in_log 'artifact port-agent-answer:'
  done
  outage false
}

# The action of Claude Code wants a work tree there, whether or not the caller wants one.
pull_request() {
  local event=pull_request
  jq --null-input '{pull_request: {number: 7, base: {ref: "main", sha: "0123456789012345678901234567890123456789"}, head: {ref: "change"}}}' >"$scratch/event.json"
  sed '/^on:/,/^$/c on: pull_request\n' "$caller/.github/workflows/port-question.yml" >"$caller/.github/workflows/on-pull-request.yml"
  template on-pull-request --eventpath "$scratch/event.json"
  in_log 'checked out 0123456789012345678901234567890123456789' 'artifact port-agent-answer:'
}

# README's own workflow and those of agents with an action of their own, as a release
# has them, but for the address of Port.
documented() {
  local name before documents=$scratch/documents
  mkdir "$documents"
  cp "$released"/docs/workflows/{claude-code,codex,gemini-cli}.yml "$documents/"
  awk '/^```yaml$/ {inside = 1; next} inside && /^```$/ {exit} inside' "$released/README.md" >"$documents/readme.yml"
  for name in readme claude-code codex gemini-cli; do
    sed "s,^\( *\)client_secret: .*,&\n\1api_url: $API_URL\n\1mcp_url: $MCP_URL," \
      "$documents/$name.yml" >"$caller/.github/workflows/documented-$name.yml"
    before=$(calls)
    template "documented-$name"
    (($(calls) > before)) || fail 'no call has reached the server'
  done
}

# How many calls of tools the server has had.
calls() {
  curl --silent --show-error --fail "$API_URL/control/received" | jq '[.[] | select(.body | contains("tools/call"))] | length'
}

port_matrix() {
  template port-matrix
  in_log 'artifact port-agent-answer-payments:' 'artifact port-agent-answer-search:'
}

# One organization stands for both, under the names of either.
port_regions() {
  template port-regions \
    --secret "PORT_EU_CLIENT_ID=$client_id" --secret "PORT_EU_CLIENT_SECRET=$client_secret" \
    --secret "PORT_US_CLIENT_ID=$client_id" --secret "PORT_US_CLIENT_SECRET=$client_secret" \
    --var "PORT_EU_API_URL=$API_URL" --var "PORT_EU_MCP_URL=$MCP_URL" \
    --var "PORT_US_API_URL=$API_URL" --var "PORT_US_MCP_URL=$MCP_URL"
  in_log 'port-eu:' 'Everything in mcp__port-eu__list_blueprints,mcp__port-eu__list_entities is on offer.' \
    'port-us:' 'Everything in mcp__port-us__list_blueprints is on offer.'
}

port_two_jobs() {
  template port-two-jobs
  in_log 'Success - Main Ask Claude Code' 'Everything in mcp__port__list_blueprints,mcp__port__list_entities is on offer.'
  not_in_log 'Skip output'
}
