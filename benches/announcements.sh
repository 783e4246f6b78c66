#!/usr/bin/env bash
# What announcing token refreshes costs Postgres: the three statements of a renewal (intent, new tokens, event) by pgbench, with fsync
# on and three listeners, once with a notification in each commit, once in batches as Evergate sends them, and once without.
# Prints renewals per second. Arguments: seconds for each figure (15), grants (20,000).
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-15} grants=${2:-20000}

bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
directory=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
chmod 711 "$directory"
as_owner() { if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"; else "$@"; fi; }
if [ "$(id -u)" = 0 ]; then chown postgres: "$directory"; fi
started=()
cleanup() {
  for id in "${started[@]}"; do kill "$id" 2>/dev/null || true; done
  as_owner "$bin/pg_ctl" -D "$directory/data" -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$directory"
}
trap cleanup EXIT
as_owner "$bin/initdb" -D "$directory/data" -U postgres -A trust --no-locale -E UTF8 >/dev/null
as_owner "$bin/pg_ctl" -D "$directory/data" -l "$directory/log" -w start >/dev/null -o "-h '' -k $directory -c max_wal_size=4GB"
export PGHOST=$directory PGUSER=postgres PGDATABASE=postgres

# Sealed tokens are random to Postgres, and are not compressed.
hex() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }
access=$(hex 1228) refresh=$(hex 328) id=$(hex 1052)
{
  cat migrations/postgres/*.sql
  echo "INSERT INTO grants (id, issuer, client_id, subject, identity, scopes, fingerprint, access_token, refresh_token, id_token,
    expires_at, lifetime, created_at, renewed_at, rotation)
    SELECT decode(md5(n::text), 'hex'), 'https://idp', 'c', 's' || n, '{\"subject\": \"s\"}', 'openid', 'f', '\\x$access',
    '\\x$refresh', '\\x$id', 0, 300000, 0, 0, 'unknown' FROM generate_series(1, $grants) AS n;
    CREATE FUNCTION announce_each() RETURNS trigger LANGUAGE plpgsql AS \$\$
      BEGIN PERFORM pg_notify('evergate_changes', 'grant ' || encode(OLD.id, 'hex')); RETURN NULL; END \$\$;
    VACUUM ANALYZE grants;"
} | psql -q -v ON_ERROR_STOP=1 -o /dev/null
cat >"$directory/renewal" <<SQL
\\set n random(1, $grants)
UPDATE grants SET attempt = decode(md5(random()::text), 'hex'), attempt_owner = 'replica', lease_until = 30000,
  presented = presented + 1, presented_at = 1 WHERE id = decode(md5((:n)::text), 'hex') RETURNING refresh_token;
UPDATE grants SET access_token = '\\\\x$access', refresh_token = '\\\\x$refresh', id_token = '\\\\x$id', expires_at = 300000,
  lifetime = 300000, renewed_at = 1, rotation = 'always', generation = generation + 1, attempt = NULL, attempt_owner = NULL,
  lease_until = NULL, last_attempt = attempt, presented = 0 WHERE id = decode(md5((:n)::text), 'hex');
INSERT INTO events (at, kind, grant_id, subject, who, outcome, reason, duration, rotated, replica)
  VALUES (1, 'renewal', decode(md5((:n)::text), 'hex'), 's', 's', 'renewed', '', 20, TRUE, 'replica');
SQL
# As many as come within a pause of 3 ms at some thousand renewals a second, from each of two replicas.
cat >"$directory/batch" <<'SQL'
SELECT pg_notify('evergate_changes', 'grant ' || md5(n::text)) FROM generate_series(1, 10) AS n;
\sleep 3 ms
SQL
# psql hears of notifications whenever a statement has been answered.
for _ in 1 2 3; do
  (echo 'LISTEN evergate_changes; SELECT 1 \watch 0.1' | psql -q >/dev/null 2>&1) &
  started+=($!)
done

measure() { # clients
  "$bin/pgbench" -n -M prepared -c "$1" -j 2 -T "$seconds" -f "$directory/renewal" | sed -n 's/^tps = \([0-9]*\).*/\1/p'
}
echo "| connections | a notification in each commit | in batches | none |"
echo "|---|---|---|---|"
for clients in 4 16; do
  psql -q -c "CREATE TRIGGER each AFTER UPDATE ON grants FOR EACH ROW EXECUTE FUNCTION announce_each()"
  each=$(measure $clients)
  psql -q -c "DROP TRIGGER each ON grants"
  "$bin/pgbench" -n -M prepared -c 2 -j 1 -T "$((seconds + 5))" -f "$directory/batch" >/dev/null &
  batching=$!
  batches=$(measure $clients)
  kill "$batching" 2>/dev/null || true
  wait "$batching" 2>/dev/null || true
  echo "| $clients | $each | $batches | $(measure $clients) |"
done
