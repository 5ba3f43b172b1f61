# The machine that a job of the e2e workflows runs on: what their steps call, no more.
FROM debian:bookworm-slim
# hadolint ignore=DL3008 # Debian keeps no older version to pin.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl git jq \
    && rm -rf /var/lib/apt/lists/*
# The agents' programs, and the node and npm of GitHub's runners, are mounted here.
ENV PATH=/agents/node_modules/.bin:$PATH NODE_PATH=/agents/node_modules
