#!/usr/bin/env bash
# `make drills`: the key-encryption key is replaced again and again, as docs/operations.md says, beside a server and a worker
# that are busy. Fails if a command is refused, if a record cannot be read afterwards, or if the audit finds anything.
#
#   scripts/drills.sh [ROTATIONS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

rotations=${1:-10}
[[ $rotations =~ ^[1-9][0-9]*$ ]] || die "usage: scripts/drills.sh [ROTATIONS]"
export LEDGER_ROTATIONS=$rotations
exec scripts/test.sh --workspace --test system -- --nocapture drill::
