# The contents of rust:1.95-slim-bookworm, for machines that cannot pull it: Debian, a
# linker, and the toolchain and CA bundle of the machine.
FROM debian:bookworm-slim
# hadolint ignore=DL3008 # Debian does not keep older versions, so none can be pinned.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY toolchain /usr/local
COPY ca-certificates.crt /etc/ssl/certs/
