#!/usr/bin/env bash
# Runs a throw-away Postgres on a free loopback port: prints its URL, restarts it as after a crash at each line that says
# so, gives it a standby at a line that says that, and stops when its standard input ends, so that it never outlives whoever started it.
set -euo pipefail

bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || { echo "Postgres is not installed (apt-get install postgresql)" >&2; exit 1; }

# Postgres refuses to run as root.
as_owner() { if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"; else "$@"; fi; }

directory=$(mktemp -d)
chmod 711 "$directory"
if [ "$(id -u)" = 0 ]; then chown postgres: "$directory"; fi
cleanup() {
  for server in standby data; do
    [ ! -d "$directory/$server" ] || as_owner "$bin/pg_ctl" -D "$directory/$server" -m immediate stop >/dev/null 2>&1 || true
  done
  rm -rf "$directory"
}
trap cleanup EXIT

cd "$directory"
as_owner "$bin/initdb" -D "$directory/data" -U postgres -A trust --no-sync --no-locale -E UTF8 >/dev/null
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
# The data is worth nothing, so nothing waits for the disk; but what is committed outlives the server's own crash.
start() {
  as_owner "$bin/pg_ctl" -D "$directory/$1" -l "$directory/$3" -w start >/dev/null -o "-p $2 -h 127.0.0.1 -k $directory \
    -c fsync=off -c full_page_writes=off -c autovacuum=off -c jit=off -c max_connections=400"
}
start data "$port" log
echo "postgres://postgres@127.0.0.1:$port/postgres"
while read -r line; do
  case $line in
    restart)
      as_owner "$bin/pg_ctl" -D "$directory/data" -m immediate -w stop >/dev/null
      start data "$port" log
      echo restarted
      ;;
    standby)
      as_owner "$bin/pg_basebackup" -h 127.0.0.1 -p "$port" -U postgres -D "$directory/standby" -c fast -X stream -R --no-sync >&2
      standby_port=$(free_port)
      start standby "$standby_port" standby.log
      echo "$standby_port"
      ;;
  esac
done
