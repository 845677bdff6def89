#!/usr/bin/env bash
# Runs the product as `make run` does, twice, with the binary that the tests built: an empty ledger gets its
# sample clinic and becomes ready; stopped and started again it is ready at once, at the same position or later.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

export LEDGER_BINARY=${LEDGER_BINARY:-${CARGO_TARGET_DIR:-$PWD/target}/debug/ledger}
[[ -x $LEDGER_BINARY ]] || die "$LEDGER_BINARY is not built yet: run \`make test\` first"
mkdir -p "$PWD/.local"
export LEDGER_LOCAL=$PWD/.local/smoke
LEDGER_LISTEN=127.0.0.1:$(free_port)
export LEDGER_LISTEN
local_dir=$LEDGER_LOCAL
scripts/services.sh remove
rm -rf "$LEDGER_LOCAL"
mkdir -m 700 "$LEDGER_LOCAL"
out=$LEDGER_LOCAL/out

pid=''
finish() {
    local status=$?
    trap '' INT TERM HUP
    trap - EXIT
    if [[ -n $pid ]]; then
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" || true
    fi
    ((status == 0)) || tail -n 40 "$out" "$LEDGER_LOCAL"/log/*.log >&2 2>/dev/null || true
    scripts/services.sh remove || true
    ((status != 0)) || rm -rf "$LEDGER_LOCAL"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

ready_or_gone() { grep -q '^ready ' "$out" || ! kill -0 "$pid" 2>/dev/null; }

# position SECONDS: starts the product and sets `position` once it is ready.
start() {
    scripts/run.sh >"$out" 2>&1 </dev/null &
    pid=$!
    wait_for "$1" ready_or_gone || die "not ready within $1 s"
    position=$(sed -n 's/^ready .* position=\([0-9]*\) .*/\1/p' "$out")
    [[ -n $position ]] || die "the product ended before it was ready"
}
stop() {
    local status=0
    kill -TERM "$pid"
    wait "$pid" || status=$?
    pid=''
    ((status == 0)) || die "the product ended with status $status"
}

started=$SECONDS
start 900
first=$position
say "empty ledger: ready in $((SECONDS - started)) s at position $first"
((first > 10)) || die "the sample clinic is missing: position $first"
stop

started=$SECONDS
start 120
say "second start: ready in $((SECONDS - started)) s at position $position"
((position >= first)) || die "the log went back from position $first to $position"
grep -q '^ready ' "$out"
stop
