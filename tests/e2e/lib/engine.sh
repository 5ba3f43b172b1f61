# shellcheck shell=bash
# The Docker engine and the base images: those of the machine where there are
# any, else our own. What is made once stays: a second run finds it.

engine() {
  if ! docker info >/dev/null 2>&1; then
    if ! command -v dockerd >/dev/null; then
      apt-get update --quiet
      DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends docker.io
    fi
    dockerd >"$scratch/dockerd.log" 2>&1 &
    dockerd_pid=$!
    for _ in {1..60}; do
      docker info >/dev/null 2>&1 && break
      kill -0 "$dockerd_pid" || break
      sleep 0.5
    done
  fi
  docker info --format 'Docker {{.ServerVersion}} on {{.OperatingSystem}}' || {
    tail -n 20 "$scratch/dockerd.log" >&2
    fail 'no Docker engine runs here and none could be started'
  }
}

images() {
  base_image debian:bookworm-slim debian_from_packages
  base_image rust:1.95-slim-bookworm rust_from_toolchain
  docker build --quiet --tag "$runner_image" - <"$e2e/images/runner.Dockerfile"
}

# base_image NAME FALLBACK: present, or pulled, or made by the function FALLBACK.
base_image() {
  docker image inspect "$1" >/dev/null 2>&1 && return
  if ! docker pull --quiet "$1"; then
    echo "$1 cannot be pulled; making it"
    "$2" "$1"
  fi
}

debian_from_packages() {
  if ! command -v debootstrap >/dev/null; then
    apt-get update --quiet
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends debootstrap
  fi
  debootstrap --variant=minbase bookworm "$scratch/debian" >"$scratch/debootstrap.log" || {
    tail -n 20 "$scratch/debootstrap.log" >&2
    fail 'debootstrap failed'
  }
  tar --create --directory "$scratch/debian" . | docker import - "$1"
  rm -rf --one-file-system "$scratch/debian"
}

rust_from_toolchain() {
  local version sysroot
  version=$(rustc --version)
  [[ $version == 'rustc 1.95.'* ]] || fail "$1 cannot be made of $version"
  sysroot=$(rustc --print sysroot)
  tar --create \
    --exclude=share --exclude=rustlib/src \
    --transform "s,^${sysroot#/},toolchain," \
    --transform 's,^.*/ca-certificates.crt$,ca-certificates.crt,' \
    --transform 's,^.*/rust.Dockerfile$,Dockerfile,' \
    "$sysroot" /etc/ssl/certs/ca-certificates.crt "$e2e/images/rust.Dockerfile" |
    docker build --quiet --tag "$1" -
}
