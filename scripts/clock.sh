#!/usr/bin/env bash
# `make clock`: servers whose clocks are a quarter of an hour, a day and a year ahead and behind, one after the other beside a busy
# server whose clock is right. Fails if a command of the right one is refused, or if a wrong one records anything or does not
# say what is wrong with it.
#
#   scripts/clock.sh [CLOCKS]
#
# CLOCKS as libfaketime takes them, such as "+15m -1d".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

export LEDGER_CLOCKS=${1:-+15m -15m +1d -1d +1y -1y}
exec scripts/test.sh --workspace --test system -- --nocapture clock::
