# The machine for the jobs of the end-to-end tests, with only the programs that their steps call.
FROM debian:bookworm-slim
# hadolint ignore=DL3008 # Debian does not keep older versions, so none can be pinned.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl git jq sudo \
    && useradd --groups sudo runner \
    && rm -rf /var/lib/apt/lists/*
# The agents' programs, node, and npm are mounted here.
ENV PATH=/agents/node_modules/.bin:$PATH NODE_PATH=/agents/node_modules
