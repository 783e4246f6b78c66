# Both are the indexes for all processors, by digest: a tag can be moved to other bytes (docs/releases.md has how they are renewed).
ARG BUILD_IMAGE=docker.io/library/rust:1.95-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f

FROM ${BUILD_IMAGE} AS build
WORKDIR /build

# The dependencies are built under an empty crate, in a layer that stays until Cargo.lock changes. The tests are
# there because Cargo.toml names their files; tests themselves are not part of the build.
COPY Cargo.toml Cargo.lock ./
COPY vendor vendor
RUN mkdir -p src tests/it tests/heavy \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cp src/main.rs tests/it/main.rs \
    && cp src/main.rs tests/heavy/main.rs \
    && cargo build --profile dist --locked

# Cargo goes by modification times, and the sources' may be older than the empty crate's.
COPY migrations migrations
COPY docs/openapi.json docs/openapi.json
COPY src src
RUN touch src/lib.rs src/main.rs \
    && cargo build --profile dist --locked \
    && install -D target/dist/evergate /image/evergate \
    && mkdir /image/data

# There is no shell in it, and nothing to install or to update but the base itself.
FROM ${BASE_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Evergate" \
      org.opencontainers.image.description="An authenticating reverse proxy that keeps people logged in" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image/evergate /usr/local/bin/evergate
# A new volume takes its owner from here.
COPY --from=build --chown=65532:65532 /image/data /data

# Inside a container, loopback would be reachable by nobody.
ENV CODER_HTTP_ADDRESS=0.0.0.0:3000 \
    CODER_DATA_DIR=/data
VOLUME /data
EXPOSE 3000
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
# A start may wait half a minute for its database. The command is exec'd, since no shell could run it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=40s --retries=3 CMD ["/usr/local/bin/evergate", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/evergate"]
CMD ["serve"]
