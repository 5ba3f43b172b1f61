# shellcheck shell=bash
# Gateways on Docker's own networks, as in jobs with `container:` or `services:`, and in jobs
# without. act runs everything on the machine's network, so this starts the containers of the
# action as GitHub's runner does. There, Port's host names lead to a fake Port server with TLS.

network=port-mcp-action-e2e-$$
server=$network-port
# A container of somebody else, with the labels of a gateway.
foreign=$network-foreign
# An image that is built from that of the action, with other labels.
# shellcheck disable=SC2154 # set by run
rebuilt=$image-rebuilt
commands=$scratch/networks

networks() {
  mkdir --parents "$commands"
  # What a C library could load to resolve names.
  echo 'not a library' | tee "$commands"/libnss_{dns,files}.so.2 >/dev/null
  docker network create "$network" >/dev/null
  # The server listens on loopback, so the relay makes it available to other containers.
  # shellcheck disable=SC2016 # the shell in the container expands them
  docker run --detach --rm --name "$server" --network "$network" --add-host api.port.io:127.0.0.1 --add-host mcp.port.io:127.0.0.1 --env ID="$client_id" --env SECRET="$client_secret" \
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
  docker run --detach --rm --name "$foreign" --label port-mcp-action.gateway=port-mcp-0123456789abcdef \
    --label port-mcp-action.gateway.end=1 "$runner_image" sleep infinity >/dev/null
  printf 'FROM %s\nLABEL org.opencontainers.image.title=rebuilt\n' "$image" | docker build --quiet --tag "$rebuilt" - >/dev/null

  echo 'Docker'\''s default network'
  gateway_on bridge '' "$(address_of "$server" bridge)"
  echo 'a job with services'
  gateway_on "$network" '' "$(address_of "$server" "$network")"
  echo 'a job with a container'
  gateway_on "$network" job "$(address_of "$server" "$network")"
  echo 'the network of the machine, and a rebuilt image'
  image=$rebuilt gateway_on host '' "$(address_of "$server" bridge)"
  echo 'the network of another container'
  gateway_on "container:$server" ''
  docker inspect "$foreign" >/dev/null || fail 'a container of somebody else was removed'
}

# Also after a failure.
leave_networks() {
  if [[ -d $commands ]]; then
    docker rm --force "$server" "$foreign" || true
    docker network rm "$network" || true
    docker rmi "$rebuilt" || true
  fi >/dev/null 2>&1
}

# address_of CONTAINER NETWORK
address_of() {
  docker inspect "$1" | jq --exit-status --raw-output --arg network "$2" '.[].NetworkSettings.Networks[$network].IPAddress'
}

# gateway_on NETWORK JOB_CONTAINER [ADDRESS]: runs both phases of the action. In between, the
# fake agent calls a granted tool, and another client one that is not granted.
gateway_on() {
  local url in_containers connects=1 client=()
  phase connect "$@"
  url=$(output_of mcp_url)
  in_containers=$(output_of mcp_url_in_containers)
  if [[ $2 ]]; then
    [[ $url == http://port-mcp-*:8787/v1 ]] || fail "unexpected URL: $url"
  else
    [[ $url == http://127.0.0.1:* ]] || fail "unexpected URL: $url"
  fi
  if [[ $2 || $1 == container:* ]]; then
    client=(container_on "$1")
  fi
  if [[ $1 == host || $1 == container:* ]]; then
    [[ -z $in_containers ]] || fail "unexpected URL: $in_containers"
  else
    [[ $in_containers =~ ^http://[0-9.]+:8787/v1$ ]] || fail "unexpected URL: $in_containers"
    connects=2
    MCP_CONFIG=$(output_of mcp_config | sed "s,$url,$in_containers,") ALLOWED_TOOLS=$(output_of allowed_tools) container_on "$1" "$e2e/agent"
    checks_the_host "$1" "$in_containers"
  fi
  [[ $1 == container:* || $(setting_of_gateway .HostConfig.Dns) == '[127.0.0.2]' ]] || fail 'the gateway does not resolve names as its step does'
  MCP_CONFIG=$(output_of mcp_config) ALLOWED_TOOLS=$(output_of allowed_tools) "${client[@]}" "$e2e/agent"
  # shellcheck disable=SC2016 # the backticks are part of the message
  "${client[@]}" curl --silent --show-error --header "Authorization: Bearer $(output_of access_token)" "$url" \
    --json '{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_entities"}}' |
    grep 'is not granted; granted tools: `list_blueprints`' || fail 'the call of another tool passed'
  phase cleanup "$@"
  grep --quiet "Stopped the gateway. Sessions: $connects, calls: $connects, errors: 0, rejected messages: 1" "$commands/log" ||
    fail 'the counts are wrong'
}

# setting_of_gateway NAME
setting_of_gateway() {
  docker ps --quiet --filter label=port-mcp-action.gateway.job=e2e | xargs docker inspect --format "{{$1}}"
}

# container_on NETWORK COMMAND...: runs a command in another container.
container_on() {
  docker run --rm --network "$1" --env MCP_CONFIG --env ALLOWED_TOOLS --volume "$e2e/agent:$e2e/agent:ro" "$runner_image" "${@:2}"
}

# checks_the_host NETWORK URL: by another name that leads to its address, the gateway is not reached.
checks_the_host() {
  local address=${2#http://} status
  address=${address%/v1}
  status=$(container_on "$1" curl --silent --output /dev/null --write-out '%{http_code} ' --max-time 20 \
    "http://$address/" --next --silent --output /dev/null --write-out '%{http_code}' --header "Host: port.example:8787" "http://$address/")
  [[ $status == '404 403' ]] || fail "unexpected status: $status"
}

# phase ENTRY_POINT NETWORK JOB_CONTAINER [ADDRESS]: with variables of an earlier step, none of which counts.
phase() {
  local status=0 resolver=()
  [[ $1 != connect ]] || : >"$commands/output"
  # Nothing listens at this address. Docker rejects these arguments for the network of another container.
  [[ $2 == container:* ]] || resolver=(--add-host "api.port.io:$4" --add-host "mcp.port.io:$4" --dns 127.0.0.2)
  docker run --rm --entrypoint "/$1" --network "$2" "${resolver[@]}" \
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
  engine_error 'no file can be created in it' --volume "$socket:$socket" --read-only
}

# engine_error TEXT [ARGUMENT...]: runs the main phase with these arguments of `docker run`.
engine_error() {
  if docker run --rm --network host --tmpfs /commands:mode=1777 "${@:2}" --env INPUT_CLIENT_ID="$client_id" --env INPUT_CLIENT_SECRET="$client_secret" \
    --env INPUT_API_URL="$API_URL" --env INPUT_MCP_URL="$MCP_URL" --env INPUT_ALLOWED_TOOLS=list_blueprints \
    --env INPUT_CONNECTION=gateway --env GITHUB_OUTPUT=/commands/output --env GITHUB_STATE=/commands/state "$image" >"$scratch/log"; then
    fail 'the step succeeded'
  fi
  grep --fixed-strings "::error title=Port MCP [" "$scratch/log" | grep --fixed-strings "$1" || fail "not in the error: $1"
}
