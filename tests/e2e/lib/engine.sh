# shellcheck shell=bash
# The Docker engine and the base images. Uses those of the machine, then those of the
# registry, and otherwise builds its own, which are kept for the next run.

engine() {
  if ! docker info >/dev/null 2>&1; then
    start_engine
  fi
  docker info --format 'Docker {{.ServerVersion}}, {{.OperatingSystem}}, {{.Architecture}}'
}

start_engine() {
  local log=$scratch/dockerd.log deadline
  if ! command -v dockerd >/dev/null; then
    need dockerd docker.io
    # An init system would have done this.
    cgroupfs-mount
  fi
  dockerd >"$log" 2>&1 &
  engine_pid=$!
  deadline=$((SECONDS + 60))
  until docker info >/dev/null 2>&1; do
    if ((SECONDS > deadline)) || ! kill -0 "$engine_pid"; then
      tail -n 20 "$log" >&2
      fail 'no Docker engine is running and none could be started'
    fi
    sleep 0.2
  done
}

images() {
  base_image debian:bookworm-slim debian_from_packages
  base_image rust:1.95-slim-bookworm rust_from_toolchain
  docker build --quiet --tag "$runner_image" - <"$e2e/images/runner.Dockerfile"
}

# base_image NAME MAKER
base_image() {
  if ! docker image inspect "$1" >/dev/null 2>&1 && ! docker pull --quiet "$1"; then
    echo "building $1, which is not available"
    "$2" "$1"
  fi
}

debian_from_packages() {
  local root=$scratch/debian log=$scratch/debootstrap.log
  need debootstrap
  if ! debootstrap --variant=minbase bookworm "$root" >"$log"; then
    tail -n 20 "$log" >&2
    fail 'debootstrap failed'
  fi
  tar --create --directory "$root" . | docker import - "$1"
  rm -rf --one-file-system "$root"
}

# Streams the build context, because the toolchain is too large to copy twice.
rust_from_toolchain() {
  local sysroot version
  sysroot=$(rustc --print sysroot)
  version=$(rustc --version)
  if [[ $version != 'rustc 1.95.'* ]]; then
    fail "$1 cannot be built from $version"
  fi
  tar --create --absolute-names \
    --exclude="$sysroot/share" \
    --transform "s,^$sysroot,toolchain," --transform 's,^/.*/,,' \
    "$sysroot" /etc/ssl/certs/ca-certificates.crt "$e2e/images/rust.Dockerfile" |
    docker build --quiet --tag "$1" --file rust.Dockerfile -
}
