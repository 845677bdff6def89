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
export ATTACK=full
exec scripts/test.sh --workspace --test system -- --nocapture attack::whoever_writes_to_the_stores
