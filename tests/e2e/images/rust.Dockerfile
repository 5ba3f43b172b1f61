# What rust:1.95-slim-bookworm is made of, for where it cannot be pulled: Debian,
# a linker, and the toolchain and CA bundle of the machine that builds it.
FROM debian:bookworm-slim
# hadolint ignore=DL3008 # Debian keeps no older version to pin.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY toolchain /usr/local
COPY ca-certificates.crt /etc/ssl/certs/
