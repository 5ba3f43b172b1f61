# shellcheck shell=bash
# The steps of a release, and the checks of its result.

version=$(sed --quiet 's/^version = "\(.*\)"/\1/p' Cargo.toml | head --lines 1)
action=$scratch/released
dist=$scratch/dist

# Listens on loopback. It chooses a port and writes it to its log.
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
    fail 'an invalid version was accepted'
  fi
  (cd "$action" && .github/release/check "$version" && .github/release/notes "$version")
}

# Keeps the layers of earlier builds, for example of tests/e2e/run. GitHub's runners do not:
# there, a job that builds the image waits for all of them.
build_image() {
  local started=$SECONDS
  # As in the release workflow.
  BUILDX_NO_DEFAULT_ATTESTATIONS=1 docker build --quiet --build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
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
  [[ ! $(git -C "$action" status --short) ]] || fail 'the script left files in the repository'
  jq --exit-status --raw-output '"\(.components | length) components of \(.metadata.component.name) \(.metadata.component.version)"' "$scratch/sbom.json"
}

release_commits() {
  (cd "$action" && .github/release/commits e2e-org/port-mcp-action "$version" "$name@$digest" "$scratch/checksums")
  git -C "$action" show --stat --format='%s' HEAD HEAD^ HEAD^^
  cat "$action/binary/assets"
  grep "docker://$name@$digest" "$action/action.yml"
}

# The documents and the templates name the second commit, and nothing names OWNER.
documents() {
  local commit uses file
  commit=$(git -C "$action" rev-parse HEAD^)
  git -C "$action" show "$commit:action.yml" | grep "docker://$name@$digest"
  git -C "$action" show "$commit:.github/workflows/port-agent.yml" | grep "uses: e2e-org/port-mcp-action@$(git -C "$action" rev-parse HEAD^^) # v$version\$"
  uses=$(cd "$action" && grep --recursive '^[ -]*uses: .*/port-mcp-action' README.md docs .github/workflow-templates)
  for file in README.md docs/ .github/workflow-templates/; do
    grep --quiet "^$file" <<<"$uses" || fail "$file does not use the action"
  done
  if grep --invert-match --extended-regexp "uses: e2e-org/port-mcp-action(/[a-z./-]*)?@$commit # v$version\$" <<<"$uses"; then
    fail 'these lines do not pin the release'
  fi
  if (cd "$action" && grep --recursive --word-regexp -e OWNER -e '<!-- owner -->' README.md SECURITY.md docs .github/workflow-templates); then
    fail 'these lines still name the placeholder'
  fi
  excerpts
}

# Apart from indentation, each YAML block of the README is still part of a checked file.
excerpts() {
  local files blocks block
  files=$(cd "$action" && sed 's/^ *//' docs/{workflows,examples}/*.yml .github/workflow-templates/*.yml tests/e2e/workflows/*.yml)
  mapfile -t -d $'\f' blocks < <(awk '
    /^ *```$/ && inside { inside = 0; printf "\f" }
    inside { sub(/^ */, ""); print }
    /^ *```yaml$/ { inside = 1 }
  ' "$action/README.md")
  ((${#blocks[@]})) || fail 'README.md has no YAML block'
  for block in "${blocks[@]}"; do
    [[ $'\n'$files$'\n' == *$'\n'"$block"* ]] || fail "not part of a checked file: $block"
  done
}

# Runs a job that has to pull the image, because it is not on the machine.
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
  in_log 'The token is ***.' 'All tools in mcp__port__list_blueprints are available.' \
    'Removed the MCP configuration file.' 'Success - Post Connect to Port'
  not_in_log 'docker run image=127'
}

# Without a digest, nothing is downloaded.
missing_binaries() {
  missing_binary "$repository" X64 'No binary for this commit'
  missing_binary "$action" RISCV64 'No binary for Linux on RISCV64 (available: linux-x64)'
}

# missing_binary DIRECTORY ARCHITECTURE TEXT
missing_binary() {
  local output
  if output=$(RUNNER_OS=Linux RUNNER_ARCH=$2 RUNNER_TEMP=$scratch node "$1/binary/main.js"); then
    fail 'the binary action succeeded'
  fi
  grep --fixed-strings -- "$3" <<<"$output" || fail "unexpected message: $output"
}

# Adds a byte to the binary that an earlier call kept, which a new download must replace,
# and then to the binary on the mirror too, which must fail.
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
  if (run_act binary --env "PORT_MCP_BINARIES=$mirror"); then
    show_log
    fail 'act succeeded'
  fi
  show_log
  in_log 'It was not run.' 'Failure - Main Connect to Port' 'Success - Post Connect to Port'
  not_in_log 'Run Main Agent'
}

comparison() {
  echo "time until the action runs: $digest_seconds s by digest, $build_seconds s from source, less with layers of earlier builds"
}
