#!/usr/bin/env bash
# `make clean-local`: stops the private databases and deletes all local state, the ledger's keys included.
# What DATABASE_URL, MONGODB_URI and REDIS_URL name is not touched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

[[ -d $local_dir ]] || exit 0
for lock in run test bench; do
    exec 8>"$local_dir/$lock.lock"
    flock -n 8 || die "\`make $lock\` is at work in this checkout: end it first"
    exec 8>&-
done
for set_name in services test bench; do
    scripts/services.sh remove "$set_name"
done
rm -rf "$local_dir"
say "Deleted .local"
