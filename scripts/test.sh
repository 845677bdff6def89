#!/usr/bin/env bash
# `make test`: every test of the workspace against databases of its own, which are gone afterwards.
# Arguments go to `cargo test`, e.g. `scripts/test.sh -p domain`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

scripts/prerequisites.sh tests
make_local
exec 8>"$local_dir/test.lock"
flock -n 8 || { say "Waiting for another test run in this checkout"; flock 8; }

child=''
finish() {
    local status=$?
    trap '' INT TERM HUP
    trap - EXIT
    scripts/services.sh remove test 8>&- || true
    exit "$status"
}
interrupted() {
    trap '' INT TERM HUP
    if [[ -n $child ]]; then
        kill -TERM -- "-$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    exit 130
}
trap finish EXIT
trap interrupted INT TERM HUP

scripts/services.sh remove test 8>&- # what a run left that was killed
scripts/services.sh start test 8>&-
eval "$(scripts/services.sh env test)"

log=$local_dir/log/test.log
scope=("$@")
((${#scope[@]})) || scope=(--workspace)
status=0
# A process group of its own, so that an interrupt ends the tests as a whole before the databases go.
# shellcheck disable=SC2016
setsid bash -c 'set -o pipefail; log=$1; shift; cargo test --locked --all-features --no-fail-fast "$@" </dev/null | tee "$log"' \
    test "$log" "${scope[@]}" 8>&- &
child=$!
wait "$child" || status=$?
child=''

counts=$(awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
              END { printf "%d %d %d", passed, failed, ignored }' "$log")
read -r passed failed ignored <<<"$counts"
if ((failed > 0)); then
    printf '\nfailed:\n'
    grep -E '^test .* \.\.\. FAILED' "$log" | sed 's/^test /    /; s/ \.\.\. FAILED//' || true
fi
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$ignored"
((status == 0)) || exit "$status"
((passed > 0)) || die "no test ran"
