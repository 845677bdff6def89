#!/usr/bin/env bash
# `make run`: builds the ledger, starts the databases it needs, one server and one worker, loads the sample
# clinic into an empty ledger through the public API, and serves until Ctrl-C.
#
# LEDGER_LISTEN (127.0.0.1:8080), LEDGER_ORIGIN, LEDGER_KEYS_DIR, LEDGER_CHECKPOINTS, LEDGER_BLOBS and LEDGER_SPOOL
# may be set by the caller;
# LEDGER_BINARY names a binary to run instead of building one, and LEDGER_LOCAL a folder to use instead of .local.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

export LEDGER_LISTEN=${LEDGER_LISTEN:-127.0.0.1:8080}
host=${LEDGER_LISTEN%:*}
port=${LEDGER_LISTEN##*:}
[[ $host != "$LEDGER_LISTEN" && $port =~ ^[0-9]+$ ]] || die "LEDGER_LISTEN must be HOST:PORT, and is \"$LEDGER_LISTEN\""
case $host in 0.0.0.0 | '[::]') host=127.0.0.1 ;; esac
url=http://$host:$port

port_is_free() {
    ! (exec 3<>"/dev/tcp/${host//[\[\]]/}/$port") 2>/dev/null ||
        die "port $port of $host is taken: stop what listens there, or choose another with LEDGER_LISTEN=$host:8081"
}

make_local
exec 8>"$local_dir/run.lock"
flock -n 8 || die "this checkout is being served already (another \`make run\`)"
port_is_free

# Built before anything is started, so that a mistake shows early.
ledger=${LEDGER_BINARY:-}
if [[ -z $ledger ]]; then
    scripts/prerequisites.sh
    say "Building the ledger (some minutes the first time)"
    cargo build --release --locked -p api --bin ledger 8>&-
    ledger=${CARGO_TARGET_DIR:-target}/release/ledger
fi
umask 077

export LEDGER_ORIGIN=${LEDGER_ORIGIN:-clinic.localhost/ledger}
# docs/operations.md, "How much memory".
export MIMALLOC_PURGE_DELAY=${MIMALLOC_PURGE_DELAY:-100}
export LEDGER_KEYS_DIR=${LEDGER_KEYS_DIR:-$local_dir/keys}
export LEDGER_CHECKPOINTS=${LEDGER_CHECKPOINTS:-$local_dir/checkpoints}
export LEDGER_BLOBS=${LEDGER_BLOBS:-$local_dir/blobs}
export LEDGER_SPOOL=${LEDGER_SPOOL:-$local_dir/spool}
export MONGODB_DATABASE=${MONGODB_DATABASE:-ledger}
mkdir -p "$LEDGER_BLOBS" "$local_dir/log" "$local_dir/sample"

serve_pid='' worker_pid='' ending=''

# end NAME PID: asks a process to finish what it holds, and insists after 30 s.
end() {
    [[ -n $2 ]] && kill -TERM "$2" 2>/dev/null || return 0
    if ! wait_for 30 gone "$2"; then
        say "The $1 did not stop within 30 s and is ended"
        kill -KILL "$2" 2>/dev/null || true
    fi
}
gone() { ! kill -0 "$1" 2>/dev/null; }

finish() {
    local status=$?
    trap '' INT TERM HUP
    trap - EXIT
    [[ -z $serve_pid$worker_pid ]] || say "Stopping"
    end worker "$worker_pid"
    end server "$serve_pid"
    scripts/services.sh stop 8>&- || true
    [[ -z $ending ]] || status=0
    exit "$status"
}
trap finish EXIT
trap 'ending=1; exit 0' INT TERM HUP

# Who gives both the owner's address and a login's has made the logins. Else `ledger migrate` makes them, and keeps their passwords.
logins=()
[[ -n ${LEDGER_OWNER_DATABASE_URL:-} && -n ${DATABASE_URL:-} ]] || logins=(--logins "$local_dir/services/logins.env")
scripts/services.sh start 8>&-
eval "$(scripts/services.sh env)"
# Only `migrate` is given the owner's password.
owner_url=$LEDGER_OWNER_DATABASE_URL
unset LEDGER_OWNER_DATABASE_URL

[[ -e $LEDGER_KEYS_DIR/event-signing.key ]] || "$ledger" keys init --dir "$LEDGER_KEYS_DIR"
port_is_free

# migrate: brings the tables up to date, begins an empty log, and tells where the log stands. Its checkpoint is a
# signed note, whose lines are origin, size and root.
migrate() {
    local said
    said=$(LEDGER_OWNER_DATABASE_URL=$owner_url "$ledger" --json migrate "${logins[@]}")
    if ((${#logins[@]})); then
        set -a
        # shellcheck source=/dev/null
        . "${logins[1]}"
        set +a
    fi
    read -r size root <<<"$(tr -d '\n' <<<"$said" |
        sed -nE 's/.*"checkpoint": *"[^"\\]*\\n([0-9]+)\\n([^"\\]+)\\n.*/\1 \2/p')"
    [[ -n $root ]] || die "\`ledger migrate\` gave no checkpoint"
}
migrate

# start NAME COMMAND…: in a session of its own, so that Ctrl-C reaches this script first and the order is ours.
start() {
    local name=$1
    shift
    setsid "$@" >>"$local_dir/log/$name.log" 2>&1 </dev/null 8>&- &
    printf -v "${name}_pid" %s "$!"
}

# await NAME PID PATH SECONDS: until the path answers 200; fails at once when the process is gone.
await() {
    local until=$((SECONDS + $4))
    until http_get "$host" "$port" "$3" >/dev/null 2>&1; do
        if gone "$2"; then
            tail -n 20 "$local_dir/log/$1.log" >&2
            die "the $1 ended while starting; its log is $local_dir/log/$1.log"
        fi
        ((SECONDS < until)) || die "$url$3 did not answer within $4 s; the log is $local_dir/log/$1.log"
        sleep 0.1
    done
}

start serve env -u LEDGER_WORKER_DATABASE_URL -u LEDGER_AUDITOR_DATABASE_URL "$ledger" serve
await serve "$serve_pid" /health/live 60
worker_env=(env -u LEDGER_AUDITOR_DATABASE_URL)
[[ -z ${LEDGER_WORKER_DATABASE_URL:-} ]] || worker_env+=(-u DATABASE_URL)
start worker "${worker_env[@]}" "$ledger" worker
await serve "$serve_pid" /health/ready 600 # read models that were lost are made again first

sample=$local_dir/sample
# One event, the log's own first, makes an empty ledger. A load that was cut short goes on where it was.
if [[ $size == 1 || (-e $sample/started && ! -e $sample/done) ]]; then
    [[ -s $sample/admin-password ]] || secret >"$sample/admin-password"
    LEDGER_ADMIN_PASSWORD=$(<"$sample/admin-password")
    export LEDGER_ADMIN_PASSWORD
    rm -f "$sample/done"
    : >"$sample/started"
    if [[ $size == 1 ]]; then
        "$ledger" account create-admin --login admin
    elif [[ ! -e $sample/admin ]]; then
        # Cut short here the last time: the account may or may not be there; the load will tell.
        "$ledger" account create-admin --login admin || say "Going on with the administrator there is"
    fi
    : >"$sample/admin"
    "$ledger" sample load --url "$url" --login admin --pictures "$sample" 8>&-
    say "Pictures of the wounds and of how they heal are in ${sample#"$PWD"/}"
    "$ledger" audit verify
    : >"$sample/done"
    migrate
fi

[[ ! -s $sample/admin-password ]] || say "Log in as admin with the password in ${sample#"$PWD"/}/admin-password"
printf 'ready %s position=%d root=%s\n' "$url" "$((size - 1))" "$root"

status=0
wait -n "$serve_pid" "$worker_pid" || status=$?
gone "$serve_pid" && name=serve || name=worker
tail -n 20 "$local_dir/log/$name.log" >&2
die "the $name process ended by itself with status $status; its log is $local_dir/log/$name.log"
