# shellcheck shell=bash
# The agents' programs, and the versions of node and npm on GitHub's runners, from npm.

# shellcheck disable=SC2154 # set by .ci/lib.sh
programs=$cache/agents

# The programs are large, so they are kept between runs, outside of the source. Does not
# use `npm ci`, which requires that the lockfile names the builds of all platforms.
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
