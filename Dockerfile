# Do not use syntax that requires BuildKit: runners, act, and older engines build this file.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /build

# crt-static links glibc into the binary, so that the last stage needs no other files.
# With an explicit target, Cargo does not apply the flag to procedural macros, which
# must be dynamic.
ENV RUSTFLAGS="-C target-feature=+crt-static" \
    CARGO_BUILD_TARGET=host-tuple \
    AWS_LC_SYS_NO_JITTER_ENTROPY=1

# Compile the dependencies in a separate layer with an empty crate, so that changes to
# src/ do not rebuild them. The other members and targets (tests/, examples/, and the benchmark) are not
# compiled, but Cargo requires their manifests and files.
COPY Cargo.toml Cargo.lock ./
COPY examples/quickstart/Cargo.toml examples/quickstart/
COPY tests/runner-double/Cargo.toml tests/runner-double/
COPY tests/fake-port/Cargo.toml tests/fake-port/
RUN mkdir -p benches src tests/faults tests/runner-double/src tests/fake-port/src \
    && touch benches/tools.rs examples/quickstart/main.rs tests/faults/main.rs src/lib.rs tests/runner-double/src/lib.rs tests/fake-port/src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked --bin port-mcp

# COPY keeps the modification times of files. Without `touch`, Cargo would treat the
# empty crate as newer.
COPY action.yml ./
COPY src src
ARG REVISION=unknown
ARG SOURCE=
RUN touch src/lib.rs src/main.rs \
    && PORT_MCP_REVISION="${REVISION}" PORT_MCP_REPOSITORY="${SOURCE}" cargo build --release --locked --bin port-mcp \
    && mkdir /image \
    && cp target/*/release/port-mcp /image/ \
    && ln -s port-mcp /image/connect \
    && ln -s port-mcp /image/cleanup \
    && ln -s port-mcp /image/answer

# From scratch: the program that handles the credentials is the only file. There is no
# shell and no package manager to patch or to exploit.
FROM scratch
ARG VERSION=0.0.0-dev
ARG REVISION=unknown
ARG SOURCE=
LABEL port-mcp-action.image="true" \
      org.opencontainers.image.title="port-mcp-action" \
      org.opencontainers.image.description="Connects an AI agent to Port's MCP server with a masked, short-lived token and an explicit list of tools." \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image/ /

# No USER: only root can write GITHUB_OUTPUT and the other files that the runner mounts.
ENTRYPOINT ["/connect"]
