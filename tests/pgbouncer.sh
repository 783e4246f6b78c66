#!/usr/bin/env bash
# Runs a throw-away PgBouncer on a free loopback port, in the pool mode of the second argument, before the Postgres at the port of the
# first: prints its port, and stops when its standard input ends.
set -euo pipefail

directory=$(mktemp -d)
chmod 711 "$directory"
# In session mode each connection of a client holds one to the server.
if [ "$2" = session ]; then size=100; else size=5; fi
printf '"postgres" ""\n"serving" ""\n' >"$directory/users"
# It refuses to run as root.
as_owner=()
if [ "$(id -u)" = 0 ]; then
  chown -R postgres: "$directory"
  as_owner=(setpriv --reuid=postgres --regid=postgres --clear-groups --)
fi
trap 'kill $! 2>/dev/null || true; rm -rf "$directory"' EXIT

# Another may take the port that was free a moment ago.
for _ in 1 2 3 4 5; do
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  cat >"$directory/pgbouncer.ini" <<INI
[databases]
* = host=127.0.0.1 port=$1
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = trust
auth_file = $directory/users
pool_mode = $2
default_pool_size = $size
max_client_conn = 500
# The next transaction gets another server process than the last one, so that what relies upon the same one fails.
server_round_robin = 1
INI
  chmod 644 "$directory/pgbouncer.ini"
  "${as_owner[@]}" "$(command -v pgbouncer || echo /usr/sbin/pgbouncer)" -q "$directory/pgbouncer.ini" >"$directory/log" 2>&1 &
  for _ in $(seq 100); do
    sleep 0.1
    kill -0 $! 2>/dev/null || break
    if python3 -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)" 2>/dev/null && kill -0 $! 2>/dev/null; then
      echo "$port"
      # The pipe ends with whoever started this.
      cat >/dev/null
      exit
    fi
  done
done
cat "$directory/log" >&2
exit 1
