# shellcheck shell=bash
# What the scripts share: messages, slow steps that show they live, Debian packages, waiting for servers.
# To be sourced after `set -euo pipefail`, from the root of the checkout.

# Everything that is made at run time lies below .local, or, for a second ledger beside the first, in LEDGER_LOCAL.
local_dir=${LEDGER_LOCAL:-$PWD/.local}
setup_log=$local_dir/log/setup.log

say() { printf '%s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

make_local() {
    [[ -d $local_dir/log ]] || (umask 077 && mkdir -p "$local_dir/log")
}

# slow MESSAGE COMMAND…: runs a command whose output only matters when it fails, counting the seconds meanwhile.
slow() {
    local message=$1 started=$SECONDS shown=0 pid status=0
    shift
    make_local
    printf '%s …' "$message" >&2
    printf '\n--- %s\n' "$message" >>"$setup_log"
    "$@" >>"$setup_log" 2>&1 </dev/null &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        if [[ -t 2 ]]; then
            printf '\r%s … %d s' "$message" $((SECONDS - started)) >&2
        elif ((SECONDS - started >= shown + 15)); then
            shown=$((SECONDS - started))
            printf ' %d s …' "$shown" >&2
        fi
    done
    wait "$pid" || status=$?
    if ((status != 0)); then
        printf ' failed\n' >&2
        tail -n 20 "$setup_log" >&2
        die "\"$message\" failed with status $status; the whole output is in ${setup_log#"$PWD"/}"
    fi
    [[ -t 2 ]] && printf '\r%s …' "$message" >&2
    printf ' done in %d s\n' $((SECONDS - started)) >&2
}

# debian_packages WHY PACKAGE…: installs Debian packages, or says how to do without.
debian_packages() {
    local why=$1 policy=/usr/sbin/policy-rc.d
    shift
    have apt-get || die "$why: install the equivalent of Debian's $* by hand, then start again"
    ((EUID == 0)) || die "$why: as root, run: apt-get install $*"
    if [[ -z ${apt_updated:-} ]]; then
        slow "Updating the package lists" apt-get update -qq
        apt_updated=1
    fi
    # Debian starts a server as soon as it is installed; a policy that answers 101 keeps it from doing so here.
    local own_policy=
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        own_policy=1
    fi
    # In a subshell, so that the policy goes away even when the step fails and ends it.
    local status=0
    (umask 022 && slow "Installing $*" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold "$@") || status=$?
    [[ -n $own_policy ]] && rm -f "$policy"
    return "$status"
}

# port_open PORT: a process listens on this port of the loopback interface.
port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port: a port no process listens on, below the range that outgoing connections are given.
free_port() {
    local port
    for _ in {1..50}; do
        port=$((20000 + RANDOM % 12000))
        if ! port_open "$port"; then
            printf '%s\n' "$port"
            return
        fi
    done
    die "found no free port between 20000 and 32000"
}

# http_get HOST PORT PATH: prints the body of a 200 answer, and fails on any other.
http_get() {
    local status line
    exec 4<>"/dev/tcp/$1/$2" || return 1
    printf 'GET %s HTTP/1.0\r\nHost: %s:%s\r\nConnection: close\r\n\r\n' "$3" "$1" "$2" >&4
    IFS=' ' read -r -t 5 _ status _ <&4 || return 1
    while IFS= read -r -t 5 line <&4 && [[ $line != $'\r' ]]; do :; done
    timeout 5 cat <&4
    exec 4>&-
    [[ $status == 200 ]]
}

# secret: 48 hexadecimal digits, safe in any URL.
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# alive PID NAME: the process lives and its command line holds NAME (a pid is used again by others).
alive() {
    [[ -n $1 ]] && kill -0 "$1" 2>/dev/null || return 1
    [[ ! -r /proc/$1/cmdline ]] || tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null | grep -qF -- "$2"
}

# wait_for SECONDS COMMAND…: tries until it succeeds or the time is over.
wait_for() {
    local until=$((SECONDS + $1))
    shift
    until "$@" 2>/dev/null; do
        ((SECONDS < until)) || return 1
        sleep 0.1
    done
}

# make_venv FOLDER LIST WHAT WHY: a Python environment that holds exactly the packages of a list.
make_venv() {
    local folder=$1 wanted=$2 what=$3 why=$4 python=
    cmp -s "$wanted" "$folder/complete" && return
    for candidate in /usr/bin/python3 python3; do
        if "$candidate" -c 'import sys, venv, ensurepip; assert sys.version_info >= (3, 10)' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
    if [[ -z $python ]]; then
        debian_packages "$why" python3-venv
        python=/usr/bin/python3
    fi
    rm -rf "$folder"
    mkdir -p "${folder%/*}"
    slow "Making a Python environment for $what" "$python" -m venv "$folder"
    slow "Installing $what" "$folder/bin/pip" install --disable-pip-version-check -q -r "$wanted"
    cp "$wanted" "$folder/complete"
}
