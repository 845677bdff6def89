#!/usr/bin/env bash
# `make bench`: the benchmark of the append path, then that of a rebuild's read path, against databases of its own, with
# fsync on. Arguments go to both; what asks for a part of the first leaves out the second. With --quick, whose figures mean
# nothing, it is built as the tests are, which saves an optimised build of everything.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

scripts/prerequisites.sh
make_local
exec 8>"$local_dir/bench.lock"
flock -n 8 || die "another benchmark runs in this checkout"

finish() {
    local status=$?
    trap '' INT TERM HUP
    trap - EXIT
    scripts/services.sh remove bench 8>&- || true
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

scripts/services.sh remove bench 8>&-
append=(--locked -p commands --features bench --bench append)
rebuild=(--locked -p projections --bench rebuild)
case " $* " in
    *" --quick "*)
        append=(--locked --profile dev --workspace --all-features --bench append)
        rebuild=(--locked --profile dev --workspace --all-features --bench rebuild)
        ;;
esac
say "Building the benchmark"
cargo bench "${append[@]}" --no-run 8>&-
if have npm && have node; then
    peer=$local_dir/emmett
    mkdir -p "$peer"
    cp commands/benches/emmett/{package.json,package-lock.json,peer.mjs} "$peer"
    say "Installing Emmett, for comparison"
    if (cd "$peer" && npm ci --no-audit --no-fund --loglevel=error >/dev/null); then
        EMMETT_PEER=$(cd "$peer" && pwd)
        export EMMETT_PEER
    else
        say "Emmett could not be installed and is left out"
    fi
else
    say "Node.js is not installed: Emmett is left out"
fi
scripts/services.sh start bench 8>&-
eval "$(scripts/services.sh env bench)"
mkdir -p "${CARGO_TARGET_DIR:-target}/bench"
CARGO_TARGET_DIR=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
export CARGO_TARGET_DIR
cargo bench "${append[@]}" -- "$@" 8>&-
case " $* " in
    *" --contenders "* | *" --append "* | *" --pace "*) ;;
    *) cargo bench "${rebuild[@]}" -- "$@" 8>&- ;;
esac
