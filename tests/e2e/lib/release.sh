# shellcheck shell=bash
# The steps of a release, and the look at its result.

version=$(sed --quiet 's/^version = "\(.*\)"/\1/p' Cargo.toml | head --lines 1)
action=$scratch/released
dist=$scratch/dist

# Listens on loopback, at a port of its own choice that its log names.
start_registry() {
  local log=$scratch/registry.log address=''
  need docker-registry
  cat >"$scratch/registry.yml" <<YAML
version: 0.1
log: {formatter: text}
storage: {filesystem: {rootdirectory: $scratch/registry}}
http: {addr: '127.0.0.1:0'}
YAML
  OTEL_TRACES_EXPORTER=none docker-registry serve "$scratch/registry.yml" >"$log" 2>&1 &
  registry_pid=$!
  until address=$(grep --no-messages --only-matching --max-count 1 '127\.0\.0\.1:[0-9]*' "$log"); do
    kill -0 "$registry_pid" || fail 'the registry did not start'
    sleep 0.1
  done
  name=$address/e2e-org/port-mcp-action
  echo "$name"
}

check() {
  mkdir --parents "$action" "$dist" "$scratch/runner-temp"
  git ls-files --cached --others --exclude-standard -z | tar --create --null --files-from - | tar --extract --directory "$action"
  sed --in-place "s/^## Unreleased/## $version/" "$action/CHANGELOG.md"
  repository_of "$action"
  revision=$(git -C "$action" rev-parse HEAD)
  if (cd "$action" && .github/release/check v1); then
    fail 'that was no version'
  fi
  (cd "$action" && .github/release/check "$version" && .github/release/notes "$version")
}

# What every job would wait for if the action named its Dockerfile: no runner of
# GitHub's keeps layers from one job to the next.
build_image() {
  local started=$SECONDS
  # As in the workflow.
  BUILDX_NO_DEFAULT_ATTESTATIONS=1 docker build --quiet --no-cache --build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
    --tag "$name:$version-x64" "$action"
  build_seconds=$((SECONDS - started))
}

push_image() {
  docker push --quiet "$name:$version-x64"
  digest=$(.github/release/merge "$name" "v$version" "$(.github/release/digest "$name:$version-x64")")
  echo "$digest"
}

binaries() {
  .github/release/binary "$name@$digest" "$dist/port-mcp-linux-x64"
  (cd "$dist" && sha256sum -- * | tee "$scratch/checksums")
}

sbom() {
  [[ -x $cache/cargo/bin/cargo-cyclonedx ]] ||
    cargo install --quiet --locked --root "$cache/cargo" cargo-cyclonedx@0.5.9
  (cd "$action" && PATH=$cache/cargo/bin:$PATH .github/release/sbom "$scratch/sbom.json")
  [[ ! $(git -C "$action" status --short) ]] || fail 'it has left something in the tree'
  jq --exit-status --raw-output '"\(.components | length) components of \(.metadata.component.name) \(.metadata.component.version)"' "$scratch/sbom.json"
}

release_commits() {
  (cd "$action" && .github/release/commits e2e-org/port-mcp-action "$version" "$name@$digest" "$scratch/checksums")
  git -C "$action" show --stat --format='%s' HEAD HEAD^ HEAD^^
  cat "$action/binary/assets"
  grep "docker://$name@$digest" "$action/action.yml"
}

# As a job that has never seen the image, which so has to be pulled.
by_digest() {
  docker image rm --force "$(docker image inspect --format '{{.Id}}' "$name:$version-x64")" >/dev/null
  if docker image inspect "$name@$digest" >/dev/null 2>&1; then
    fail 'the image is still there'
  fi
  succeeds direct
  in_log "docker run image=$name@$digest"
  not_in_log 'docker build'
  digest_seconds=$(grep --only-matching 'Success - Main Connect to Port \[[^]]*' "$log" | sed 's/.*\[//')
}

without_docker() {
  python3 -u -m http.server --bind 127.0.0.1 --directory "$dist" 0 >"$scratch/files.log" 2>&1 &
  files_pid=$!
  until mirror=http://$(grep --no-messages --only-matching --max-count 1 '127\.0\.0\.1 port [0-9]*' "$scratch/files.log" | sed 's/ port /:/'); [[ $mirror == *:*:* ]]; do
    kill -0 "$files_pid" || fail 'the file server did not start'
    sleep 0.1
  done
  (run_act binary --env "PORT_MCP_BINARIES=$mirror") || { show_log; fail 'act failed'; }
  show_log
  in_log 'The token is ***.' 'Everything in mcp__port__list_blueprints is on offer.'
  not_in_log 'docker run image=127'
}

# No download is tried without a digest to hold it against.
refusals() {
  refusal "$repository" X64 'This commit is no release'
  refusal "$action" RISCV64 'There is no binary for Linux on RISCV64, only linux-x64.'
}

# refusal TREE ARCHITECTURE TEXT
refusal() {
  local said
  if said=$(RUNNER_OS=Linux RUNNER_ARCH=$2 RUNNER_TEMP=$scratch "$1/binary/connect"); then
    fail 'it ended well'
  fi
  grep --fixed-strings -- "$3" <<<"$said" || fail "it said: $said"
}

# One byte too many: first in what an earlier call of the job has left, where any
# step may write, and which a new download replaces; then in both. A runner empties
# the directory.
tampered() {
  local left
  left=$(find "$scratch/runner-temp" -name '*-port-mcp-linux-x64')
  printf '\0' >>"$left"
  (run_act binary --env "PORT_MCP_BINARIES=$mirror") || { show_log; fail 'act failed'; }
  show_log
  in_log 'The token is ***.'
  cmp "$left" "$dist/port-mcp-linux-x64"
  printf '\0' >>"$left"
  printf '\0' >>"$dist/port-mcp-linux-x64"
  refused
}

refused() {
  if (run_act binary --env "PORT_MCP_BINARIES=$mirror"); then
    show_log
    fail 'act ended well'
  fi
  show_log
  in_log 'It was not run.' 'Failure - Main Connect to Port'
  not_in_log 'Run Main Agent'
}

comparison() {
  echo "until the action runs: $build_seconds s from source, $digest_seconds by digest"
}
