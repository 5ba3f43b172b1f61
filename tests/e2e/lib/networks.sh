# shellcheck shell=bash
# Gateways on Docker's own networks, as in jobs with `container:` or `services:`, and in jobs
# without. act runs everything on the machine's network, so this starts the containers of the
# action as GitHub's runner does. There, Port's host names lead to a fake Port server with TLS.

network=port-mcp-action-e2e-$$
server=$network-port
commands=$scratch/networks

networks() {
  mkdir --parents "$commands"
  # What a C library could load to resolve names.
  echo 'not a library' | tee "$commands"/libnss_{dns,files}.so.2 >/dev/null
  docker network create "$network" >/dev/null
  # The server listens on loopback, so the relay makes it available to other containers.
  # shellcheck disable=SC2016 # the shell in the container expands them
  docker run --detach --rm --name "$server" --network "$network" --env ID="$client_id" --env SECRET="$client_secret" \
    --env TMPDIR=/authority --tmpfs /authority --volume "$programs:/agents:ro" \
    --volume "$repository/target/debug/fake-port:/fake-port:ro" "$runner_image" bash -c '
      /fake-port --tls --port 8443 --client-id "$ID" --client-secret "$SECRET" >/authority/server &
      exec node -e "
        const net = require(\"net\");
        net.createServer((client) => {
          const server = net.connect(8443, \"127.0.0.1\");
          client.on(\"error\", () => server.destroy()).pipe(server).on(\"error\", () => client.destroy()).pipe(client);
        }).listen(443)"' >/dev/null
  until docker exec "$server" curl --silent --insecure --output /dev/null https://127.0.0.1/control/received; do
    docker inspect "$server" >/dev/null || fail 'the fake Port server did not start'
    sleep 0.1
  done
  # shellcheck disable=SC2016
  authority=$(docker exec "$server" bash -c 'source /authority/server && cat "$CA_FILE"')
  docker network connect bridge "$server"

  echo 'Docker'\''s default network'
  gateway_on bridge '' "$(address_of "$server" bridge)"
  echo 'a job with services'
  gateway_on "$network" '' "$(address_of "$server" "$network")"
  echo 'a job with a container'
  gateway_on "$network" job "$(address_of "$server" "$network")"
}

# Also after a failure.
leave_networks() {
  if [[ -d $commands ]]; then
    docker rm --force "$server" || true
    docker network rm "$network" || true
  fi >/dev/null 2>&1
}

# address_of CONTAINER NETWORK
address_of() {
  docker inspect "$1" | jq --exit-status --raw-output --arg network "$2" '.[].NetworkSettings.Networks[$network].IPAddress'
}

# gateway_on NETWORK JOB_CONTAINER ADDRESS: runs both phases of the action. In between, the
# fake agent calls a granted tool, and another client one that is not granted.
gateway_on() {
  local url client=()
  phase connect "$@"
  url=$(output_of mcp_url)
  if [[ $2 ]]; then
    [[ $url == http://port-mcp-*:8787/v1 ]] || fail "unexpected URL: $url"
    client=(docker run --rm --network "$1" --env MCP_CONFIG --env ALLOWED_TOOLS --volume "$e2e/agent:$e2e/agent:ro" "$runner_image")
  else
    [[ $url == http://127.0.0.1:* ]] || fail "unexpected URL: $url"
  fi
  MCP_CONFIG=$(output_of mcp_config) ALLOWED_TOOLS=$(output_of allowed_tools) "${client[@]}" "$e2e/agent"
  # shellcheck disable=SC2016 # the backticks are part of the message
  "${client[@]}" curl --silent --show-error --header "Authorization: Bearer $(output_of access_token)" "$url" \
    --json '{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_entities"}}' |
    grep 'is not granted; granted tools: `list_blueprints`' || fail 'the call of another tool passed'
  phase cleanup "$@"
  grep --quiet 'Stopped the gateway. Sessions: 1, calls: 1, errors: 0, rejected messages: 1' "$commands/log" ||
    fail 'the counts are wrong'
}

# phase ENTRY_POINT NETWORK JOB_CONTAINER ADDRESS: with variables of an earlier step, none of which counts.
phase() {
  local status=0
  [[ $1 != connect ]] || : >"$commands/output"
  docker run --rm --entrypoint "/$1" --network "$2" --add-host "api.port.io:$4" --add-host "mcp.port.io:$4" \
    --env INPUT_CLIENT_ID="$client_id" --env INPUT_CLIENT_SECRET="$client_secret" --env INPUT_REGION=eu \
    --env INPUT_CA_CERTIFICATE="$authority" --env INPUT_ALLOWED_TOOLS=list_blueprints --env INPUT_CONNECTION=gateway \
    --env INPUT_JOB_CONTAINER="$3" --env GITHUB_RUN_ID=1 --env GITHUB_RUN_ATTEMPT=1 --env GITHUB_JOB=e2e --env GITHUB_ACTION=port \
    --env GITHUB_OUTPUT=/github/file_commands/output --env GITHUB_STATE=/github/file_commands/state \
    --env DOCKER_HOST=tcp://127.0.0.1:9 --env PORT_MCP_STUB_ENGINE=127.0.0.1:9 --env PORT_MCP_IMAGE_GATEWAY= \
    --env SSL_CERT_FILE=/nonexistent --env STATE_gateway_url=http://127.0.0.1:9/v1 --env LD_LIBRARY_PATH=/github/file_commands \
    --env GITHUB_STEP_SUMMARY=/github/file_commands/summary --volume "$commands:/github/file_commands" \
    --volume /var/run/docker.sock:/var/run/docker.sock "$image" >"$commands/log" || status=$?
  cat "$commands/log"
  ((status == 0)) || fail "the phase $1 exited with status $status"
}

# output_of NAME: the value that the main phase wrote.
output_of() {
  awk -v name="$1" 'index($0, name "<<") == 1 { inside = substr($0, length(name) + 3); next } inside && $0 == inside { exit } inside' "$commands/output"
}

# Without a Docker engine that the step may use, it fails and says what to do.
engine_errors() {
  local socket=/var/run/docker.sock
  mkdir "$scratch/directory"
  engine_error 'no Docker socket in the action'
  engine_error 'which is not a socket' --volume "$scratch/directory:$socket"
  engine_error 'access to the Docker socket' --volume "$socket:$socket" --user 1000
}

# engine_error TEXT [ARGUMENT...]: runs the main phase with these arguments of `docker run`.
engine_error() {
  if docker run --rm --network host --tmpfs /commands:mode=1777 "${@:2}" --env INPUT_CLIENT_ID="$client_id" --env INPUT_CLIENT_SECRET="$client_secret" \
    --env INPUT_API_URL="$API_URL" --env INPUT_MCP_URL="$MCP_URL" --env INPUT_ALLOWED_TOOLS=list_blueprints \
    --env INPUT_CONNECTION=gateway --env GITHUB_OUTPUT=/commands/output --env GITHUB_STATE=/commands/state "$image" >"$scratch/log"; then
    fail 'the step succeeded'
  fi
  grep --fixed-strings "::error title=Port MCP::" "$scratch/log" | grep --fixed-strings "$1" || fail "not in the error: $1"
}
