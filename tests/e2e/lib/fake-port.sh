# shellcheck shell=bash
# The fake Port server on loopback, and the secrets that no log may show.

client_id='e2e-client'
# Random, and with what JSON, URLs and forms must encode.
client_secret="$(head --bytes 24 /dev/urandom | base64)\"%&=\\+"

start_fake_port() {
  local log=$scratch/sandbox.log
  cargo build --quiet --locked --package fake-port --bin fake-port
  # cargo replaces itself with the program, so this is the sandbox's own id.
  cargo run --quiet --locked --package fake-port --bin fake-port -- \
    --client-id "$client_id" --client-secret "$client_secret" >"$log" &
  fake_port_pid=$!
  until grep --quiet --no-messages '^MCP_URL=' "$log"; do
    kill -0 "$fake_port_pid" || fail 'the sandbox did not start'
    sleep 0.1
  done
  # shellcheck source=/dev/null
  source "$log"
  echo "$API_URL"
  # A model that calls one tool, and then says good-bye.
  # shellcheck disable=SC2034 # of organization.sh
  model_url=$API_URL/model/list_blueprints

  # Port hands out one token until it lapses, so these are the ones that the
  # action will get.
  secrets=(
    "$client_secret"
    "$(jq --null-input --arg id "$client_id" --arg secret "$client_secret" '{clientId: $id, clientSecret: $secret}' |
      curl --silent --show-error --fail --json @- "$API_URL/v1/auth/access_token" | jq --exit-status --raw-output .accessToken)"
    "$(curl --silent --show-error --fail --data grant_type=client_credentials --data-urlencode "client_id=$client_id" \
      --data-urlencode "client_secret=$client_secret" "$MCP_URL/token" | jq --exit-status --raw-output .access_token)"
  )
}

# hang COMMAND...: runs it until it has asked for a token, to which no answer comes.
# Leaves its process in $hanging_pid.
hang() {
  local before
  before=$(requests)
  curl --silent --show-error --fail --json '{"endpoint": "rest", "fault": "hang"}' "$API_URL/control/fault"
  "$@" &
  hanging_pid=$!
  until (($(requests) > before)); do
    kill -0 "$hanging_pid" || fail 'it ended before it asked for a token'
    sleep 0.1
  done
}

# outage true|false: whether the MCP server is away for every client but the action.
outage() {
  curl --silent --show-error --fail --json "$1" "$API_URL/control/outage"
}

requests() {
  curl --silent --show-error --fail "$API_URL/control/received" | jq length
}

# The secrets as they stand, in a JSON string, in a URL, and in base64 from each
# of the three offsets at which they may begin, less the characters that they
# would share with their neighbours.
traces() {
  jq --null-input --raw-output '
    $ARGS.positional[]
    | .,
      (tojson | .[1:-1]),
      @uri,
      (@base64 | .[:-4]),
      (" " + . | @base64 | .[2:-4]),
      ("  " + . | @base64 | .[3:-4])
    ' --args "${secrets[@]}"
}

# no_secret_in FILE
no_secret_in() {
  if grep --fixed-strings --line-number --file=<(traces) "$1" >"$scratch/leaks"; then
    # The line numbers alone: one leak is enough.
    cut --delimiter=: --fields=1 "$scratch/leaks" >&2
    fail 'these lines of the log hold a secret'
  fi
}
