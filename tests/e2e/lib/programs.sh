# shellcheck shell=bash
# The agents' programs, and the node and npm of GitHub's runners, from npm.

# shellcheck disable=SC2154 # of .ci/lib.sh
programs=$cache/agents

# They are large, so they stay from one run to the next, out of the source. Not by
# `npm ci`, which wants the lock to name every platform's build.
install_programs() {
  local source=$repository/tests/e2e/agents
  if ! cmp --silent "$source/package-lock.json" "$programs/installed"; then
    mkdir -p "$programs"
    cp "$source"/package{,-lock}.json "$programs/"
    npm install --prefix "$programs" --no-audit --no-fund --loglevel error
    cp "$source/package-lock.json" "$programs/installed"
  fi
  ln --symbolic --force --no-dereference "$programs/node_modules" "$source/node_modules"
}
