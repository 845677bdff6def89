#!/usr/bin/env bash
# `make mutations`: the full run of audit/tests/mutations. Argument: the seed, in decimal.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/prerequisites.sh
# The environment `make test` made for the verifier in Python, where there is one; else the machine's own `python3`.
eval "$(scripts/services.sh env test | grep LEDGER_PYTHON || true)"
export LEDGER_MUTATIONS=full
if (($#)); then export LEDGER_MUTATIONS_SEED=$1; fi
# Optimised: it verifies 70,000 events for every mutation of the largest log.
exec cargo test --locked --release -p audit --test mutations -- --nocapture
