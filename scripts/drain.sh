#!/usr/bin/env bash
# `make drain`: one worker, optimised, before a long queue of scans; killed once on the way. Tells how long a scan takes and
# how much memory the worker holds; fails if that grows, or if a scan has no answer or two.
#
#   scripts/drain.sh [SCANS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

scans=${1:-1000}
[[ $scans =~ ^[1-9][0-9]+$ ]] || die "usage: scripts/drain.sh [SCANS], 10 or more"
scripts/prerequisites.sh
say "Building the ledger (some minutes the first time)"
cargo build --release --locked -p api --bin ledger
LEDGER_BINARY=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/release/ledger
export LEDGER_BINARY LEDGER_DRAIN_SCANS=$scans
exec scripts/test.sh --workspace --test system -- --nocapture drain::
