# syntax=docker/dockerfile:1
# The binary `ledger`, built where its compiler is and run where nothing but it is.

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked -p api --bin ledger \
    && install -D -m 755 target/release/ledger /out/ledger

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin ledger \
    # Named volumes take the owner of the folder they are first mounted on.
    && install -d -m 700 -o ledger -g ledger /var/lib/ledger /var/lib/ledger/keys \
        /var/lib/ledger/checkpoints /var/lib/ledger/blobs /var/lib/ledger/spool
COPY --from=build /out/ledger /usr/local/bin/ledger

USER ledger
# Where things lie; what is secret comes from outside and has no default here.
ENV LEDGER_LISTEN=0.0.0.0:8080 \
    LEDGER_KEYS_DIR=/var/lib/ledger/keys \
    LEDGER_CHECKPOINTS=/var/lib/ledger/checkpoints \
    LEDGER_BLOBS=/var/lib/ledger/blobs \
    LEDGER_SPOOL=/var/lib/ledger/spool \
    MIMALLOC_PURGE_DELAY=100
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["ledger", "health"]
ENTRYPOINT ["ledger"]
CMD ["serve"]
