# No BuildKit-only syntax: runners, act and older engines all build this file.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /build

# crt-static links glibc into the binary, so that the last stage needs no system
# around it. The explicit target keeps the flag away from procedural macros,
# which must stay dynamic.
ENV RUSTFLAGS="-C target-feature=+crt-static" \
    CARGO_BUILD_TARGET=host-tuple \
    AWS_LC_SYS_NO_JITTER_ENTROPY=1

# Dependencies get a layer of their own, which outlives every change of ours:
# they are compiled against an empty crate. The members below tests/ and the
# benchmark never are, but Cargo wants their manifests and its file.
COPY Cargo.toml Cargo.lock ./
COPY tests/runner-double/Cargo.toml tests/runner-double/
COPY tests/fake-port/Cargo.toml tests/fake-port/
RUN mkdir -p benches src tests/runner-double/src tests/fake-port/src \
    && touch benches/tools.rs src/lib.rs tests/runner-double/src/lib.rs tests/fake-port/src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked --bin port-mcp --features embedded-roots

# COPY keeps file times; without the touch cargo would take the empty crate for
# the newer one.
COPY src src
ARG REVISION=unknown
RUN touch src/lib.rs src/main.rs \
    && PORT_MCP_REVISION="${REVISION}" cargo build --release --locked --bin port-mcp --features embedded-roots \
    && mkdir /image \
    && cp target/*/release/port-mcp /image/ \
    && ln -s port-mcp /image/connect \
    && ln -s port-mcp /image/cleanup \
    && ln -s port-mcp /image/answer

# From scratch: no shell, no package manager, nothing to patch or to exploit
# beside the one program that holds the credentials.
FROM scratch
ARG VERSION=0.0.0-dev
ARG REVISION=unknown
ARG SOURCE=
LABEL org.opencontainers.image.title="port-mcp-action" \
      org.opencontainers.image.description="Connects an AI agent to Port's MCP server with a masked, short-lived token and an explicit list of tools." \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image/ /

# No USER: the runner mounts GITHUB_OUTPUT and its other files with root alone
# in mind, and any other user could not write them.
ENTRYPOINT ["/connect"]
