# shellcheck shell=bash
# Sourced by .ci/run and tests/e2e/run.

repository=$(git -C "$(dirname "${BASH_SOURCE[0]}")" rev-parse --show-toplevel)
cache=$repository/target/ci
timings=()

# Functions run in this shell and in no condition, so that errexit holds in them.
stage() {
  local started=$SECONDS
  running=$1
  printf '\n=== %s\n' "$1"
  "${@:2}"
  timings+=("$(printf '%5d s  %s' $((SECONDS - started)) "$1")")
  running=
}

# To be called first thing in an EXIT trap, while the status is still at hand.
report() {
  local status=$?
  printf '\n=== timings (%s)\n' "${0#"$repository/"}"
  printf '%s\n' "${timings[@]}"
  printf '%5d s  in all\n' "$SECONDS"
  if ((status)); then
    printf '\nFAILED in: %s\n' "${running:-the script itself}" >&2
  fi
  return "$status"
}

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# The Python tools of .ci/requirements.txt, hadolint to act, first on PATH.
python_tools() {
  local venv=$cache/venv
  if ! cmp --silent "$repository/.ci/requirements.txt" "$venv/requirements.txt"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$repository/.ci/requirements.txt"
    cp "$repository/.ci/requirements.txt" "$venv/"
  fi
  export PATH=$venv/bin:$PATH
}
