#!/usr/bin/env bash
# Evergate with a signed-in user beside nginx `proxy_pass` without authentication, in one run: each proxy on one core in
# turn, load and upstream on the other; a 1 KiB answer at 64 connections. Prints requests per second, CPU microseconds of
# the proxy per request, and resident memory. Needs nginx, wrk, curl, and two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-10}
cargo build --locked --quiet --profile dist
work=$(mktemp -d)
chmod 755 "$work" # nginx serves as another user
pids=()
cleanup() { kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
upstream=$(free_port) plain=$(free_port) gate=$(free_port)
head -c 1024 /dev/zero | tr '\0' x >"$work/index.html"

nginx_conf() {
  printf 'worker_processes 1; daemon off; pid %s; error_log stderr crit;\nevents { worker_connections 4096; }\nhttp { access_log off; keepalive_requests 100000000;\n' "$work/$1.pid"
  for kind in client_body proxy fastcgi uwsgi scgi; do printf '%s_temp_path %s;\n' "$kind" "$work/$1.$kind"; done
  printf '%s\n}\n' "$2"
}
nginx_conf upstream "server { listen 127.0.0.1:$upstream; root $work; }" >"$work/upstream.conf"
nginx_conf plain "upstream app { server 127.0.0.1:$upstream; keepalive 128; }
  server { listen 127.0.0.1:$plain; location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ''; } }" >"$work/plain.conf"

taskset -c 1 nginx -p "$work" -c "$work/upstream.conf" & pids+=($!)
taskset -c 0 nginx -p "$work" -c "$work/plain.conf" & pids+=($!)
nginx_master=$!
RUST_BACKTRACE=0 taskset -c 0 target/dist/evergate demo --port "$gate" --app "http://127.0.0.1:$upstream" >"$work/evergate.log" 2>&1 & pids+=($!)
evergate=$!

# Signs in as the first of the demonstration's people.
jar="$work/jar"
for _ in $(seq 100); do
  authorize=$(curl -s -o /dev/null -c "$jar" -b "$jar" -H 'accept: text/html' -w '%{redirect_url}' "http://localhost:$gate/" || true)
  [ -z "$authorize" ] || break
  sleep 0.1
done
callback=$(curl -s -o /dev/null -w '%{redirect_url}' "$authorize&person=0")
curl -s -o /dev/null -c "$jar" -b "$jar" -H 'accept: text/html' "$callback"
session=$(awk '$6 == "evergate_session" {print $7}' "$jar")
[ "$(curl -s -b "$jar" "http://localhost:$gate/" | wc -c)" = 1024 ] || { echo "the login failed" >&2; exit 1; }

nginx_worker=$(pgrep -P "$nginx_master")
# CPU time so far of a process, in clock ticks.
ticks() { awk '{print $14 + $15}' "/proc/$1/stat"; }
hertz=$(getconf CLK_TCK)

measure() { # name, pid, wrk arguments...
  local name=$1 pid=$2 before after requests rate
  shift 2
  taskset -c 1 wrk -t1 -c64 -d2s "$@" >/dev/null
  before=$(ticks "$pid")
  taskset -c 1 wrk -t1 -c64 -d"${seconds}s" "$@" >"$work/wrk"
  after=$(ticks "$pid")
  requests=$(awk '/requests in/ {print $1}' "$work/wrk")
  rate=$(awk '/Requests\/sec/ {print $2}' "$work/wrk")
  if grep -q 'Non-2xx' "$work/wrk"; then echo "$name: not every answer was a 200" >&2; cat "$work/wrk" >&2; exit 1; fi
  awk -v name="$name" -v rate="$rate" -v ticks=$((after - before)) -v hertz="$hertz" -v requests="$requests" -v rss="$(awk '/VmRSS/ {print $2}' "/proc/$pid/status")" \
    'BEGIN {printf "%-38s %10.0f requests/s %8.1f CPU us/request %8.1f MiB\n", name, rate, ticks / hertz * 1e6 / requests, rss / 1024}'
}

printf 'Evergate idle before the load: %s MiB\n' "$(awk '/VmRSS/ {printf "%.1f", $2 / 1024}' "/proc/$evergate/status")"
for _ in 1 2 3; do
  measure "nginx proxy_pass, no authentication" "$nginx_worker" "http://127.0.0.1:$plain/"
  measure "Evergate, signed in" "$evergate" -H "Host: localhost:$gate" -H "Cookie: evergate_session=$session" "http://127.0.0.1:$gate/"
done
