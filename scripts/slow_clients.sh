#!/usr/bin/env bash
# `make slow-clients`: slow bodies, half heads and held captures against one optimised server, all at once, while a clinician
# reads. Fails if the reads are slow (p99 above 500 ms) or the server holds more than 400 MiB.
#
#   scripts/slow_clients.sh [BODIES HEADS CAPTURES]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

(($# == 0 || $# == 3)) || die "usage: scripts/slow_clients.sh [BODIES HEADS CAPTURES]"
crowd=${*:-600 2000 60}
[[ $crowd =~ ^[0-9]+\ [0-9]+\ [0-9]+$ ]] || die "give three numbers"
# Each client is a descriptor of this side's, too.
read -r bodies heads captures <<<"$crowd"
files=$((bodies + heads + captures + 512))
(($(ulimit -n) >= files)) || ulimit -n "$files" || die "the crowd needs $files open files: raise the limit (ulimit -Hn)"
scripts/prerequisites.sh
if [[ -z ${LEDGER_BINARY:-} ]]; then
    say "Building the ledger (some minutes the first time)"
    cargo build --release --locked -p api --bin ledger
    LEDGER_BINARY=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/release/ledger
fi
export LEDGER_BINARY LEDGER_SLOW_CLIENTS=$crowd LEDGER_SLOW_SECONDS=60
exec scripts/test.sh --workspace --test system -- --nocapture slow_clients::slow_clients
