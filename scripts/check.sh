#!/usr/bin/env bash
# `make check`: what can be judged without running the product. Steps may be named: scripts/check.sh fmt clippy
#
#   tidy     no machine paths, conflict marks or stray white space in the tree
#   fmt      rustfmt
#   shell    shellcheck, where it is installed
#   compose  compose.yml, where docker or docker-compose is installed
#   circles  no more than four files of a crate import one another
#   clippy   every lint is an error
#   docs     every rustdoc warning is an error
#   deny     licences, forbidden crates and sources of the dependencies
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

deny_version=0.20.2

tidy() {
    local bad=0
    # A path of one developer's machine helps no one else. `git grep` reads tracked files; binary ones are passed over.
    if git grep -nIE '(^|[^A-Za-z0-9_./{}$-])/(home|root|Users|work|builds)/[A-Za-z0-9._-]+' -- . ':!Cargo.lock' ':!LICENSE' ':!scripts/check.sh'; then
        say "the lines above name paths of one machine"
        bad=1
    fi
    if git grep -nIE '^(<<<<<<<|>>>>>>>) ' -- .; then
        say "the lines above are marks of an unfinished merge"
        bad=1
    fi
    if git grep -nIE '[[:blank:]]+$' -- '*.rs' '*.toml' '*.sh' '*.sql' '*.yml' '*.md' Makefile Dockerfile .ci/run; then
        say "the lines above end in white space"
        bad=1
    fi
    return "$bad"
}

fmt() { cargo fmt --all --check; }

shell() {
    if have shellcheck; then
        shellcheck -x scripts/*.sh .ci/run
    else
        for script in scripts/*.sh .ci/run; do bash -n "$script" || return 1; done
        say "shellcheck is not installed; only the syntax was checked"
    fi
}

compose() {
    local command=() twice
    # Readers of YAML disagree on a key that is there twice, so it is looked for without one.
    twice=$(awk '/^[a-z]/ { section = $1 } /^  [a-z][a-z0-9_-]*:/ { if (seen[section, $1]++) print section $1 }' compose.yml)
    [[ -z $twice ]] || {
        say "compose.yml has these twice: $twice"
        return 1
    }
    if have docker && docker compose version >/dev/null 2>&1; then
        command=(docker compose)
    elif have docker-compose; then
        command=(docker-compose)
    else
        say "neither docker compose nor docker-compose is installed; compose.yml was not checked"
        return
    fi
    # Values of no meaning: the file refuses to be read without passwords.
    POSTGRES_PASSWORD=x SERVE_PASSWORD=x WORKER_PASSWORD=x AUDITOR_PASSWORD=x MONGO_PASSWORD=x REDIS_PASSWORD=x \
        LEDGER_ORIGIN=x "${command[@]}" -f compose.yml config -q
}

circles() {
    # A program of the standard library alone, so that it needs nothing built before.
    local program=$local_dir/tools/circles
    mkdir -p "$local_dir/tools"
    rustc --edition 2024 -D warnings --test -o "$program-tests" scripts/circles.rs || return 1
    "$program-tests" --quiet || return 1
    rustc --edition 2024 -D warnings -o "$program" scripts/circles.rs || return 1
    "$program" domain audit wound commands projections api
}

clippy() { cargo clippy --workspace --all-targets --all-features --locked -- -D warnings; }

docs() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps --locked; }

deny() {
    local tools=$local_dir/tools cargo_deny
    # A CI machine may keep cargo's own folder between runs; elsewhere nothing is put outside the checkout.
    [[ -z ${CI:-} ]] || tools=${CARGO_HOME:-$HOME/.cargo}
    if have cargo-deny; then
        cargo_deny=cargo-deny
    else
        cargo_deny=$tools/bin/cargo-deny
        # Unoptimised: it is built in half the time and checks this tree in seconds all the same.
        [[ -x $cargo_deny ]] || slow "Building cargo-deny (some minutes, once)" \
            cargo install cargo-deny --version "$deny_version" --locked --debug --root "$tools"
    fi
    # Advisories need a database that is fetched from elsewhere: `cargo deny check advisories`, by hand.
    "$cargo_deny" --all-features check bans licenses sources
}

steps=("$@")
((${#steps[@]})) || steps=(tidy fmt shell compose circles clippy docs deny)
scripts/prerequisites.sh
for step in "${steps[@]}"; do
    [[ $step =~ ^(tidy|fmt|shell|compose|circles|clippy|docs|deny)$ ]] || die "no such step: $step"
    started=$SECONDS
    say "== $step"
    status=0
    # `set -e` does not reach into a function whose status is asked for; each ends in its own verdict.
    "$step" || status=$?
    ((status == 0)) || die "$step failed"
    say "== $step passed in $((SECONDS - started)) s"
done
