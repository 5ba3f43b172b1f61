# shellcheck shell=bash
# The fake Port server on loopback, and the secrets that no log may contain.

client_id='e2e-client'
# Random, and with characters that JSON, URLs, and forms must encode.
client_secret="$(head --bytes 24 /dev/urandom | base64)\"%&=\\+"

# start_fake_port [ARGUMENT...]
start_fake_port() {
  local log=$scratch/fake-port.log
  cargo build --quiet --locked --package fake-port --bin fake-port
  # cargo replaces itself with the program, so this is the process ID of the server.
  cargo run --quiet --locked --package fake-port --bin fake-port -- \
    --client-id "$client_id" --client-secret "$client_secret" "$@" >"$log" &
  fake_port_pid=$!
  until grep --quiet --no-messages '^MCP_URL=' "$log"; do
    kill -0 "$fake_port_pid" || fail 'the fake Port server did not start'
    sleep 0.1
  done
  # shellcheck source=/dev/null
  source "$log"
  echo "$API_URL"
  # Port returns the same token until it expires, so the action gets these tokens.
  secrets=(
    "$client_secret"
    "$(jq --null-input --arg id "$client_id" --arg secret "$client_secret" '{clientId: $id, clientSecret: $secret}' |
      curl --silent --show-error --fail --json @- "$API_URL/v1/auth/access_token" | jq --exit-status --raw-output .accessToken)"
    "$(curl --silent --show-error --fail --data grant_type=client_credentials --data-urlencode "client_id=$client_id" \
      --data-urlencode "client_secret=$client_secret" "$MCP_URL/token" | jq --exit-status --raw-output .access_token)"
  )
}

# hang COMMAND...: runs the command until it has requested a token. The request gets no
# response. Sets $hanging_pid.
hang() {
  local before
  before=$(requests)
  curl --silent --show-error --fail --json '{"endpoint": "rest", "fault": "hang"}' "$API_URL/control/fault"
  "$@" &
  hanging_pid=$!
  until (($(requests) > before)); do
    kill -0 "$hanging_pid" || fail 'the command ended before it requested a token'
    sleep 0.1
  done
}

# outage FAULT|null: how the MCP server responds to all clients except the action.
outage() {
  curl --silent --show-error --fail --json "$1" "$API_URL/control/outage"
}

requests() {
  curl --silent --show-error --fail "$API_URL/control/received" | jq length
}

# Prints the secrets as plain text, in a JSON string, in a URL, and in base64 for each of
# the three possible offsets, without the characters that depend on adjacent text.
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
    # Only the line numbers, to not leak the secret again.
    cut --delimiter=: --fields=1 "$scratch/leaks" >&2
    fail 'these lines of the log contain a secret'
  fi
}
