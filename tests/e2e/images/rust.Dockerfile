# What rust:1.95-slim-bookworm is made of, for where it cannot be pulled: Debian,
# a linker, and the toolchain and CA bundle of the machine that builds it.
FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY toolchain /usr/local
COPY ca-certificates.crt /etc/ssl/certs/
