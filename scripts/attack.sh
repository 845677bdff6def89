#!/usr/bin/env bash
# `make attack`: every change of every store of a live clinic, and every plot; nothing may be believed, unnoticed or unnamed.
# Argument: the seed, in decimal. ATTACK_ONLY=TEXT makes only the attacks whose name contains it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

(($# <= 1)) || die "usage: scripts/attack.sh [SEED]"
if (($#)); then
    [[ $1 =~ ^[0-9]+$ ]] || die "the seed is a number"
    export ATTACK_SEED=$1
fi
scripts/prerequisites.sh
if [[ -z ${LEDGER_BINARY:-} ]]; then
    # Hundreds of servers start and hundreds of audits run: optimised, that takes a third of the time.
    say "Building the ledger (some minutes the first time)"
    cargo build --release --locked -p api --bin ledger
    LEDGER_BINARY=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/release/ledger
fi
export LEDGER_BINARY ATTACK=full
exec scripts/test.sh --workspace --test system -- --nocapture attack::whoever_writes_to_the_stores
