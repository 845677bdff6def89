#!/usr/bin/env bash
# `make mutants`: changes the code of `domain` and `audit` in one place at a time and sees whether a test notices.
#
#   scripts/mutants.sh [PACKAGE…] [SHARD]     PACKAGE is domain or audit; SHARD is K/N, with K from 0 to N-1
#
# A shard takes every Nth mutant. Fails if less than 95 % of the mutants that compile are caught, or if one survives that
# docs/mutants.md does not name with its reason. The tests that look are the package's own, with all features; those of
# `audit` against a Postgres of its own. Works on a copy in .local/mutants, where scripts/mutants.py builds them together.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

mutants_version=27.1.0
least_percent=95
known=docs/mutants.md

packages=()
shard=
for argument in "$@"; do
    case $argument in
        domain | audit) packages+=("$argument") ;;
        [0-9]*/[0-9]*) shard=$argument ;;
        *) die "usage: scripts/mutants.sh [domain] [audit] [K/N]" ;;
    esac
done
((${#packages[@]})) || packages=(domain audit)
if [[ -n $shard ]]; then
    if ! [[ $shard =~ ^[0-9]+/[1-9][0-9]*$ ]] || ((10#${shard%/*} >= 10#${shard#*/})); then
        die "a shard is K/N, with K from 0 to N-1"
    fi
fi

scripts/prerequisites.sh
have python3 || debian_packages "The mutants are switched by a program in Python" python3
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "Python 3.11 or newer is needed to switch the mutants"
make_local
exec 8>"$local_dir/test.lock"
flock -n 8 || { say "Waiting for another test run in this checkout"; flock 8; }

tools=$local_dir/tools
# A CI machine may keep cargo's own folder between runs; elsewhere nothing is put outside the checkout.
[[ -z ${CI:-} ]] || tools=${CARGO_HOME:-$HOME/.cargo}
export PATH=$tools/bin:$PATH
[[ $(cargo mutants --version 2>/dev/null) == "cargo-mutants $mutants_version" ]] ||
    slow "Building cargo-mutants (some minutes, once)" \
        cargo install cargo-mutants --version "$mutants_version" --locked --debug --force --root "$tools"

work=$local_dir/mutants
tree=$work/tree
# Only what differs is copied: cargo builds again what has a newer time, also after a run that was cut off, whose changes
# are undone here.
copy() {
    mkdir -p "$tree"
    local file
    (cd "$tree" && find . -name target -prune -o -type f -printf '%P\n') | sort >"$work/there"
    git ls-files --cached --others --exclude-standard | sort >"$work/here"
    comm -23 "$work/there" "$work/here" | while IFS= read -r file; do rm -f "$tree/$file"; done
    while IFS= read -r file; do
        [[ -f $file ]] || continue
        cmp -s "$file" "$tree/$file" || cp --parents -- "$file" "$tree"
    done <"$work/here"
}

finish() {
    local status=$?
    trap '' INT TERM HUP
    trap - EXIT
    [[ " ${packages[*]} " != *" audit "* ]] || scripts/services.sh remove test 8>&- || true
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

copy
if [[ " ${packages[*]} " == *" audit "* ]]; then
    scripts/services.sh remove test 8>&- # what a run left that was killed
    scripts/services.sh start test 8>&-
    eval "$(scripts/services.sh env test)"
fi

# A test that fails should do so at once, and leave nothing behind: no shrinking, no files of failures, no new snapshots.
export PROPTEST_CASES=32 PROPTEST_MAX_SHRINK_ITERS=0 PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 INSTA_UPDATE=no
export RUST_BACKTRACE=0 CARGO_INCREMENTAL=1 CARGO_PROFILE_DEV_DEBUG=none CARGO_TARGET_DIR=$tree/target
# A lint that is an error would make a mutant one that does not compile.
export RUSTFLAGS="${RUSTFLAGS:-} --cap-lints=warn"

# names FILE: mutants without line and column, which move with every edit.
names() { sed -E 's/:[0-9]+:[0-9]+: /: /' "$1" | LC_ALL=C sort; }
count() { grep -c '' "$1" || true; }
failed=0

# judge PACKAGE: figures of its run, and what survived without being known.
judge() {
    local out=$work/$1/mutants.out caught missed timeouts unviable viable unknown
    caught=$(count "$out/caught.txt") missed=$(count "$out/missed.txt")
    timeouts=$(count "$out/timeout.txt") unviable=$(count "$out/unviable.txt")
    viable=$((caught + missed + timeouts))
    ((viable > 0)) || die "no mutant of $1 compiled"
    printf '%s%s: %d viable, %d caught, %d missed, %d timed out: %d.%d %% caught or stopped (%d do not compile)\n' \
        "$1" "${shard:+ $shard}" "$viable" "$caught" "$missed" "$timeouts" \
        $(((caught + timeouts) * 100 / viable)) $(((caught + timeouts) * 1000 / viable % 10)) "$unviable"
    if (((caught + timeouts) * 100 < viable * least_percent)); then
        say "error: less than $least_percent % of the mutants of $1 were caught"
        failed=1
    fi
    # shellcheck disable=SC2016 # the backquotes are Markdown's
    unknown=$(LC_ALL=C comm -23 <(names "$out/missed.txt") <(sed -n 's/^- `\([^`]*\)`.*/\1/p' "$known" | LC_ALL=C sort))
    if [[ -n $unknown ]]; then
        say "error: these survived, and $known does not say why:"
        say "$unknown"
        failed=1
    fi
}

for package in "${packages[@]}"; do
    mkdir -p "$work/$package/mutants.out"
    (cd "$tree" && cargo mutants --list --json --package "$package" --colors never \
        ${shard:+--shard "$shard" --sharding round-robin}) >"$work/$package/mutants.json" 8>&-
    python3 scripts/mutants.py "$work/$package/mutants.json" "$tree" "$work/$package/mutants.out" "$package" 8>&-
    judge "$package"
done
exit "$failed"
