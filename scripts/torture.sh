#!/usr/bin/env bash
# `make torture`: one process, then two, append under kill -9, Postgres restarts, a full disk and faults at every failpoint,
# until 100,000 commands are acknowledged in each run; then everything is checked. Takes a quarter of an hour or more.
#
#   scripts/torture.sh [COMMANDS [SEED]]
#
# Postgres is a private one on a disk of its own, gone at the end. Where no disk may be mounted (that needs root), the size
# of its files is limited instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

commands=${1:-100000}
seed=${2:-$RANDOM}
[[ $commands =~ ^[0-9]+$ && $seed =~ ^[0-9]+$ ]] || die "usage: scripts/torture.sh [COMMANDS [SEED]]"
scripts/prerequisites.sh
[[ -n $(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null) ]] || have initdb ||
    die "PostgreSQL's programs are needed: as root, \`scripts/services.sh start\` installs them"
export LEDGER_FAULT_COMMANDS=$commands LEDGER_FAULT_SEED=$seed RUST_BACKTRACE=0
# The writers are to be tortured, not the machine.
exec nice cargo test --locked --all-features --workspace --test faults -- --test-threads=1 --nocapture torture::
