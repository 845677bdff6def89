#!/usr/bin/env bash
# What a build needs beside Rust: a C compiler and linker, for the cryptography and the allocator. With `tests`: also what the tests
# need, which turn the clocks of servers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

have cargo || die "cargo is not on the PATH: install Rust 1.95 or newer (https://rustup.rs)"

version=$(rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
read -r major minor <<<"${version:-0 0}"
if ((major < 1 || (major == 1 && minor < 95))); then
    die "Rust 1.95 or newer is needed, and this is $(rustc --version 2>/dev/null || echo unknown)"
fi

if ! have cc; then
    debian_packages "A C compiler is needed to build" gcc libc6-dev
elif [[ -e /etc/debian_version && ! -e /usr/include/stdio.h ]]; then
    debian_packages "The C library's headers are needed to build" libc6-dev
fi

if [[ ${1:-} == tests ]] && ! compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null; then
    debian_packages "Tests of servers with wrong clocks need libfaketime" libfaketime
fi
