#!/usr/bin/env bash
# The three databases. What DATABASE_URL (or LEDGER_OWNER_DATABASE_URL), MONGODB_URI and REDIS_URL name is used as it is; what they do not
# name is installed when missing and started as a private instance on a free port of the loopback interface.
#
#   scripts/services.sh start  [SET]   start what is not named and write its addresses to .local/SET/env
#   scripts/services.sh stop   [SET]   stop it and keep the data
#   scripts/services.sh remove [SET]   stop it and delete the data
#   scripts/services.sh status [SET]   tell what runs
#   scripts/services.sh env    [SET]   print the addresses as shell exports, starting nothing
#
# SET is `services` (kept between runs, the default), `test` or `bench`.
#
# Of Postgres there are several addresses. DATABASE_URL, LEDGER_WORKER_DATABASE_URL and LEDGER_AUDITOR_DATABASE_URL are those of
# the ledger's logins, LEDGER_OWNER_DATABASE_URL is the one by which `ledger migrate` makes them. Whoever names only DATABASE_URL
# names the owner's. In the sets `test` and `bench` it stays the owner's, because tests make databases of their own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh
umask 077

action=${1:-}
set_name=${2:-services}
[[ $set_name =~ ^(services|test|bench)$ ]] || die "no such set of services: $set_name"
set_dir=$local_dir/$set_name
venv=$PWD/.local/venv
verifier_venv=$PWD/.local/venv-verifier

private() { [[ -z ${!1:-} ]]; }
read_state() { cat "$set_dir/$1" 2>/dev/null || true; }
write_state() {
    printf '%s\n' "$2" >"$set_dir/$1.new"
    mv "$set_dir/$1.new" "$set_dir/$1"
}

# --- Postgres ---------------------------------------------------------------------------------------------

# postgres_bin [MAJOR]: the folder of the newest server programs, or of one major version.
postgres_bin() {
    local found
    found=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -path "*/${1:-*}/bin" 2>/dev/null | sort -V | tail -n 1)
    if [[ -z $found ]] && have initdb; then
        found=$(dirname "$(readlink -f "$(command -v initdb)")")
    fi
    [[ -n $found && -x $found/initdb && -x $found/postgres ]] || return 1
    printf '%s\n' "$found"
}

install_postgres() {
    postgres_bin >/dev/null && return
    if ((EUID == 0)) && have apt-get && [[ ! -e /etc/postgresql-common/createcluster.conf ]]; then
        # Debian would make and run a cluster of its own, which is not wanted here.
        debian_packages "PostgreSQL is needed (or name a server in DATABASE_URL)" postgresql-common
        sed -ri 's/^#?(create_main_cluster) .*$/\1 = false/' /etc/postgresql-common/createcluster.conf
    fi
    debian_packages "PostgreSQL is needed (or name a server in DATABASE_URL)" postgresql
    postgres_bin >/dev/null || die "Debian's postgresql is installed, but its programs were not found"
}

# as_postgres COMMAND…: PostgreSQL refuses to run as root.
as_postgres() {
    if ((EUID == 0)); then
        (cd / && runuser -u postgres -- "$@")
    else
        "$@"
    fi
}

# postgres_home: the folder of the private cluster. Root's checkout may lie where the user `postgres` cannot
# reach it (below a folder of mode 0700): then the cluster goes to a folder of its own under /var/lib.
postgres_home() {
    local home
    home=$(read_state postgres.home)
    if [[ -n $home && -d $home ]]; then
        printf '%s\n' "$home"
        return
    fi
    home=$set_dir/postgres
    if ((EUID == 0)); then
        id postgres >/dev/null 2>&1 || die "there is no user \`postgres\` to run PostgreSQL under"
        mkdir -p "$home"
        chown postgres "$home"
        # Both are closed to others; they let pass who knows a name in them, and hold nothing that others may read.
        chmod 711 "$PWD/.local" "$local_dir" "$set_dir"
        if ! as_postgres test -w "$home"; then
            rmdir "$home"
            chmod 700 "$PWD/.local" "$local_dir" "$set_dir"
            home=$(mktemp -d /var/lib/coherency-ledger.XXXXXXXX)
            chown postgres "$home"
        fi
    else
        mkdir -p "$home"
    fi
    chmod 700 "$home"
    write_state postgres.home "$home"
    printf '%s\n' "$home"
}

postgres_runs() {
    local home port pid
    home=$(read_state postgres.home)
    port=$(read_state postgres.port)
    [[ -n $home && -n $port && -r $home/data/postmaster.pid ]] || return 1
    read -r pid <"$home/data/postmaster.pid"
    alive "$pid" "$home/data" && port_open "$port" &&
        PGPASSWORD=$(read_state postgres.password) PGCONNECT_TIMEOUT=5 "$bin/psql" -qtAX -h 127.0.0.1 -p "$port" \
            -U ledger -d ledger -c 'SELECT' >/dev/null 2>&1
}

# Whether the caller names a server.
postgres_is_named() { [[ -n ${LEDGER_OWNER_DATABASE_URL:-}${DATABASE_URL:-} ]]; }

# Whether the caller names the owner's address and the logins' own.
logins_are_named() { [[ -n ${LEDGER_OWNER_DATABASE_URL:-} && -n ${DATABASE_URL:-} ]]; }

# The addresses of the ledger's logins, as far as `ledger migrate --logins` has made them.
print_logins() {
    local name value
    if logins_are_named; then
        for name in DATABASE_URL LEDGER_WORKER_DATABASE_URL LEDGER_AUDITOR_DATABASE_URL; do
            value=${!name:-}
            [[ -z $value ]] || printf 'export %s=%q\n' "$name" "$value"
        done
    elif postgres_is_named; then
        sed -n 's/^[A-Z_]*=/export &/p' "$set_dir/logins.env" 2>/dev/null || true
    else
        # The private server may have got another port since.
        sed -En "s/^[A-Z_]*=/export &/; s#@127\.0\.0\.1:[0-9]+/#@127.0.0.1:$(read_state postgres.port)/#p" \
            "$set_dir/logins.env" 2>/dev/null || true
    fi
}

postgres_url() {
    printf 'postgres://ledger:%s@127.0.0.1:%s/ledger\n' "$(read_state postgres.password)" "$(read_state postgres.port)"
}

start_postgres() {
    local home data port bin
    install_postgres
    bin=$(postgres_bin)
    home=$(postgres_home)
    data=$home/data
    if [[ -r $data/PG_VERSION ]]; then
        bin=$(postgres_bin "$(<"$data/PG_VERSION")") ||
            die "the data in $data are of PostgreSQL $(<"$data/PG_VERSION"), whose programs are gone"
    fi
    postgres_runs && return
    if [[ ! -e $home/complete ]]; then
        rm -rf "$data"
        write_state postgres.password "$(secret)"
        local password_file=$home/password
        read_state postgres.password >"$password_file"
        ((EUID == 0)) && chown postgres "$password_file"
        as_postgres "$bin/initdb" -D "$data" -U ledger -A scram-sha-256 --pwfile="$password_file" \
            -E UTF8 --locale=C --data-checksums --no-instructions >>"$setup_log" 2>&1 ||
            die "initdb failed; its output is in ${setup_log#"$PWD"/}"
        rm -f "$password_file"
    fi
    # No socket file: its path may be longer than the 107 bytes the system allows.
    for attempt in {1..8}; do
        port=$(read_state postgres.port)
        if [[ -z $port ]] || port_open "$port"; then port=$(free_port); fi
        write_state postgres.port "$port"
        if as_postgres "$bin/pg_ctl" -D "$data" -s -w -t 60 -l "$home/log" start \
            -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=200 \
                -c fsync=on -c timezone=UTC -c log_min_messages=warning" \
            >>"$setup_log" 2>&1 </dev/null; then
            break
        fi
        # After a kill -9 the old backends may hold the shared memory for a moment.
        ((attempt < 8)) || { tail -n 20 "$home/log" >&2; die "PostgreSQL did not start; its log is $home/log"; }
        sleep 1
    done
    if [[ ! -e $home/complete ]]; then
        PGPASSWORD=$(read_state postgres.password) "$bin/psql" -qX -h 127.0.0.1 -p "$port" -U ledger -d postgres \
            -c 'CREATE DATABASE ledger' >>"$setup_log" 2>&1 || die "PostgreSQL refused to create the database"
        : >"$home/complete"
    fi
    postgres_runs || die "PostgreSQL was started and does not answer; its log is $home/log"
    say "PostgreSQL $(<"$data/PG_VERSION") runs on port $port"
}

stop_postgres() {
    local home bin
    home=$(read_state postgres.home)
    [[ -n $home && -e $home/data/postmaster.pid ]] || return 0
    bin=$(postgres_bin "$(<"$home/data/PG_VERSION")") || return 0
    as_postgres "$bin/pg_ctl" -D "$home/data" -s -w -t 60 -m fast stop >>"$setup_log" 2>&1 || true
}

# --- Redis ------------------------------------------------------------------------------------------------

redis_answers() { # PORT PASSWORD
    local answer
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf 'AUTH %s\r\nPING\r\n' "$2" >&3
    read -r -t 2 answer <&3 && [[ $answer == +OK* ]] && read -r -t 2 answer <&3 && [[ $answer == +PONG* ]]
    local status=$?
    exec 3>&-
    return "$status"
}

redis_runs() {
    local port
    port=$(read_state redis.port)
    [[ -n $port ]] && alive "$(read_state redis/pid)" "redis-server" &&
        redis_answers "$port" "$(read_state redis.password)" 2>/dev/null
}

redis_url() { printf 'redis://:%s@127.0.0.1:%s\n' "$(read_state redis.password)" "$(read_state redis.port)"; }

start_redis() {
    local port
    redis_runs && return
    have redis-server || debian_packages "Redis is needed (or name a server in REDIS_URL)" redis-server
    mkdir -p "$set_dir/redis"
    stop_process redis/pid redis-server
    for attempt in {1..5}; do
        port=$(read_state redis.port)
        if [[ -z $port ]] || port_open "$port"; then port=$(free_port); fi
        write_state redis.port "$port"
        write_state redis.password "$(secret)"
        # Nothing is kept: what Redis holds is made again from the log.
        printf '%s\n' "bind 127.0.0.1" "port $port" "requirepass $(read_state redis.password)" 'save ""' \
            "appendonly no" "daemonize yes" "pidfile \"$set_dir/redis/pid\"" "dir \"$set_dir/redis\"" \
            "logfile \"$set_dir/redis/log\"" >"$set_dir/redis/redis.conf"
        redis-server "$set_dir/redis/redis.conf" >>"$setup_log" 2>&1 </dev/null || true
        wait_for 5 redis_runs && break
        ((attempt < 5)) || die "Redis did not start; its log is $set_dir/redis/log"
    done
    say "Redis runs on port $port"
}

# --- MongoDB ----------------------------------------------------------------------------------------------

# One OP_MSG with {ping: 1, $db: "admin"}; any answer that begins like a MongoDB message will do.
# shellcheck disable=SC2016
mongo_answers() { # PORT
    local answer
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf '\x33\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x1e\0\0\0\x10ping\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0' >&3
    answer=$(timeout 3 head -c 16 <&3 | od -An -tx1 | tr -d ' \n')
    exec 3>&-
    [[ ${answer:16:16} == 01000000dd070000 ]]
}

mongo_program() { if have mongod; then echo mongod; else echo secantusd-py; fi; }

mongo_runs() {
    local port
    port=$(read_state mongodb.port)
    [[ -n $port ]] && alive "$(read_state mongodb.pid)" "$(read_state mongodb.program)" && mongo_answers "$port" 2>/dev/null
}

mongo_uri() { printf 'mongodb://127.0.0.1:%s/?directConnection=true\n' "$(read_state mongodb.port)"; }

# SecantusDB speaks MongoDB's protocol and comes from PyPI; Debian has no MongoDB.
install_secantus() {
    make_venv "$venv" scripts/secantusdb.txt SecantusDB \
        "A MongoDB server is needed (a \`mongod\` on the PATH, or name one in MONGODB_URI)"
}

# The tests run docs/examples/verify.py, which shares no line with the ledger.
install_verifier() {
    make_venv "$verifier_venv" scripts/verifier.txt "the independent verifier's library" \
        "Python with the package \`cryptography\` is needed (or name such a program in LEDGER_PYTHON)"
}

start_mongo() {
    local port program
    mongo_runs && return
    program=$(mongo_program)
    [[ $program == mongod ]] || install_secantus
    stop_process mongodb.pid "$(read_state mongodb.program)"
    mkdir -p "$set_dir/$program"
    write_state mongodb.program "$program"
    for attempt in {1..5}; do
        port=$(read_state mongodb.port)
        if [[ -z $port ]] || port_open "$port"; then port=$(free_port); fi
        write_state mongodb.port "$port"
        # A session of its own, so that Ctrl-C in the terminal does not reach it before the ledger has stopped.
        if [[ $program == mongod ]]; then
            setsid mongod --dbpath "$set_dir/mongod" --port "$port" --bind_ip 127.0.0.1 \
                >"$set_dir/mongodb.log" 2>&1 </dev/null &
        else
            (cd "$set_dir/$program" && exec setsid "$venv/bin/secantusd-py" --port "$port" --log-level WARNING \
                --storage-path "$set_dir/$program") >"$set_dir/mongodb.log" 2>&1 </dev/null &
        fi
        write_state mongodb.pid "$!"
        wait_for 30 mongo_up_or_gone && mongo_runs && break
        stop_process mongodb.pid "$program"
        ((attempt < 5)) || { tail -n 20 "$set_dir/mongodb.log" >&2; die "$program did not start"; }
    done
    disown -a
    say "MongoDB ($([[ $program == mongod ]] && echo mongod || echo SecantusDB)) runs on port $port"
}

mongo_up_or_gone() { mongo_runs || ! kill -0 "$(read_state mongodb.pid)" 2>/dev/null; }

# --- All --------------------------------------------------------------------------------------------------

# stop_process PID_FILE NAME: ends what we started, kindly, then not.
stop_process() {
    local pid
    pid=$(read_state "$1")
    if alive "$pid" "$2"; then
        kill "$pid" 2>/dev/null || true
        if ! wait_for 20 gone "$pid"; then
            kill -9 "$pid" 2>/dev/null || true
            wait_for 5 gone "$pid" || true
        fi
    fi
    rm -f "$set_dir/$1"
}
gone() { ! kill -0 "$1" 2>/dev/null; }

stop_all() {
    [[ -d $set_dir ]] || return 0
    stop_process mongodb.pid "$(read_state mongodb.program)"
    stop_process redis/pid redis-server
    stop_postgres
}

print_env() {
    local name value owner
    owner=${LEDGER_OWNER_DATABASE_URL:-${DATABASE_URL:-}}
    [[ -n $owner || -z $(read_state postgres.port) ]] || owner=$(postgres_url)
    if [[ $set_name == services ]]; then
        [[ -z $owner ]] || printf 'export LEDGER_OWNER_DATABASE_URL=%q\n' "$owner"
        print_logins
    elif [[ -n $owner ]]; then
        printf 'export DATABASE_URL=%q\n' "$owner"
    fi
    for name in MONGODB_URI REDIS_URL; do
        value=${!name:-}
        if [[ -z $value ]]; then
            case $name in
            MONGODB_URI) [[ -n $(read_state mongodb.port) ]] && value=$(mongo_uri) ;;
            REDIS_URL) [[ -n $(read_state redis.port) ]] && value=$(redis_url) ;;
            esac
        fi
        [[ -z $value ]] || printf 'export %s=%q\n' "$name" "$value"
    done
    value=${LEDGER_PYTHON:-}
    [[ -n $value || ! -e $verifier_venv/complete ]] || value=$verifier_venv/bin/python
    [[ -z $value ]] || printf 'export LEDGER_PYTHON=%q\n' "$value"
}

# One at a time: two starts would install and make the same things. Servers must not inherit the lock.
locked() {
    make_local
    exec 9>"$local_dir/services.lock"
    flock -n 9 || { say "Waiting for another start or stop of the services here"; flock -w 900 9 || die "gave up waiting"; }
    "$@"
}

start_all() {
    mkdir -p "$set_dir"
    if ! postgres_is_named; then start_postgres 9>&-; fi
    if private REDIS_URL; then start_redis 9>&-; fi
    if private MONGODB_URI; then start_mongo 9>&-; fi
    if [[ $set_name == test ]] && private LEDGER_PYTHON; then install_verifier 9>&-; fi
    write_state env "$(print_env)"
}

remove_all() {
    local home
    stop_all
    home=$(read_state postgres.home)
    case $home in
    /var/lib/coherency-ledger.*) rm -rf "$home" ;;
    esac
    rm -rf "$set_dir"
}

describe() { # VARIABLE NAME CHECK
    if ! private "$1" || { [[ $1 == DATABASE_URL ]] && postgres_is_named; }; then
        printf '%-12s named by %s\n' "$2" "$1"
    elif "$3"; then
        printf '%-12s private, running\n' "$2"
    else
        printf '%-12s private, not running\n' "$2"
    fi
}

case $action in
start) locked start_all ;;
stop) locked stop_all ;;
remove) locked remove_all ;;
status)
    bin=$(postgres_bin) || bin=
    describe DATABASE_URL PostgreSQL postgres_runs
    describe MONGODB_URI MongoDB mongo_runs
    describe REDIS_URL Redis redis_runs
    ;;
env) print_env ;;
*) die "usage: scripts/services.sh start|stop|remove|status|env [services|test|bench]" ;;
esac
