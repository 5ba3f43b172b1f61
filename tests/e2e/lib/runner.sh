# shellcheck shell=bash
# Runs workflows in act, in place of GitHub's runner.

log=$scratch/act.log

# act often asks git for the commit, and is slow outside of a repository.
repository_of() {
  git -C "$1" init --quiet
  git -C "$1" config user.name e2e
  git -C "$1" config user.email e2e@localhost
  git -C "$1" add .
  git -C "$1" commit --quiet --message e2e
}

# run_act WORKFLOW [ARGUMENT...]
run_act() {
  act_on "$action" "$action/tests/e2e/workflows/$1.yml" "${@:2}"
}

# act_on DIRECTORY WORKFLOW [ARGUMENT...]
#
# Call it in a subshell, which act replaces, so that signals reach act.
act_on() {
  # RUNNER_TEMP is /tmp here. GitHub's runner shares it between a job and its actions, but
  # act does not. The cache server would listen on other interfaces than loopback.
  exec act "${event:-workflow_dispatch}" --directory "$1" --workflows "$2" \
    --platform "ubuntu-latest=$runner_image" --pull=false --rm --no-cache-server \
    --network host --container-options "--volume $scratch/runner-temp:/tmp --volume $programs:/agents:ro --volume /etc/ssl/certs:/etc/ssl/certs:ro ${more_volumes:-}" \
    --secret-file <(printf "PORT_CLIENT_ID='%s'\nPORT_CLIENT_SECRET='%s'\n" "$client_id" "$client_secret") \
    --var "PORT_AUTH_BASE_URL=$API_URL/v1" --var "PORT_MCP_URL=$MCP_URL" \
    "${@:3}" >"$log" 2>&1 </dev/null
}

# succeeds WORKFLOW
succeeds() {
  local status=0
  (run_act "$1") || status=$?
  show_log
  ((status == 0)) || fail "act exited with status $status"
  in_log 'The token is ***.' 'Success - Post Connect to Port'
}

# fails WORKFLOW
fails() {
  local status=0
  (run_act "$1") || status=$?
  show_log
  ((status)) || fail 'act succeeded'
  in_log 'Failure - Main Connect to Port' 'Success - Post Connect to Port'
  not_in_log 'Run Main Never'
}

# Searches the log for secrets before it prints the log.
show_log() {
  no_secret_in "$log"
  cat "$log"
}

in_log() {
  local text
  for text; do
    grep --quiet --fixed-strings -- "$text" "$log" || fail "not in the log: $text"
  done
}

not_in_log() {
  if grep --quiet --fixed-strings -- "$1" "$log"; then
    fail "in the log: $1"
  fi
}
