# shellcheck shell=bash
# Sourced by .ci/run and tests/e2e/run.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Kept between runs. A clean clone does not have it.
cache=$repository/target/ci
timings=()
# The stages to run, and those of them that have run. Without any, all run.
selected=() found=()

# stage NAME COMMAND...
stage() {
  if ((${#selected[@]})); then
    is_one_of "$1" "${selected[@]}" || return 0
    found+=("$1")
  fi
  setup "$@"
}

# setup NAME COMMAND...: what every stage needs.
#
# The command runs in this shell and not in a condition, so that errexit also applies
# inside a function.
setup() {
  local started=$SECONDS
  running=$1
  printf '\n=== %s\n' "$1"
  "${@:2}"
  timings+=("$(printf '%5d s  %s' $((SECONDS - started)) "$1")")
  running=
}

# is_one_of TEXT ENTRY...
is_one_of() {
  local entry
  for entry in "${@:2}"; do
    [[ $entry != "$1" ]] || return 0
  done
  return 1
}

# Fails if a selected stage does not exist.
all_found() {
  local name
  for name in "${selected[@]}"; do
    is_one_of "$name" "${found[@]}" || fail "there is no stage \`$name\` here"
  done
}

# For the EXIT trap. Takes the status of the script.
report() {
  printf '\n=== timings of %s\n' "${0#"$repository/"}"
  printf '%s\n' "${timings[@]}"
  printf '%5d s  in total\n' "$SECONDS"
  if (($1)); then
    printf '\nFAILED: %s\n' "${running:-the script itself}" >&2
  fi
}

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# need COMMAND [PACKAGE]: installs the Debian package if the command is missing.
need() {
  if ! command -v "$1" >/dev/null; then
    install_packages "${2:-$1}"
  fi
}

# Asks first on a terminal.
install_packages() {
  local as_root=() answer
  if [[ -t 0 && -t 1 ]]; then
    read -rp "Install the packages $* with apt-get? [y/N] " answer
    [[ $answer == [yY]* ]] || fail "install $*, then run this again"
  fi
  if ((EUID)); then
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update --quiet
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes "$@"
}

# python_environment REQUIREMENTS DIRECTORY: installs packages from PyPI into a virtual environment.
python_environment() {
  if ! cmp --silent "$1" "$2/requirements.txt"; then
    # Debian's Python may not contain ensurepip, which creating a venv requires.
    python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
    python3 -m venv --clear "$2"
    "$2/bin/pip" install --quiet --disable-pip-version-check --requirement "$1"
    cp "$1" "$2/requirements.txt"
  fi
}

# Installs the tools from PyPI, and puts them first on PATH.
python_tools() {
  python_environment "$repository/.ci/requirements.txt" "$cache/venv"
  export PATH=$cache/venv/bin:$PATH
}
