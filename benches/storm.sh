#!/usr/bin/env bash
# The storm of tests/heavy/storm.rs at the size of the documentation: 10,000 users whose tokens have expired come within a
# minute, over two replicas and Postgres, to a provider that bears 50 calls of 400 ms at once, so 125 of the 167 that come each second. Takes some three minutes after the
# build, and draws its curve to the file that is named, or to docs/storm.svg.
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT
STORM_USERS=10000 STORM_SECONDS=60 STORM_MOST=50 STORM_CALL=400 \
  cargo test --locked --release --test heavy storm:: -- --nocapture 2>/dev/null | tee "$log"
sed -n '/^second,/,/^[0-9]* users/p' "$log" | grep -E '^(second|[0-9.]+),' |
  python3 benches/plot.py '10,000 expired grants in a minute, 50 calls of 400 ms at once' \
    'arrived,served' 'waiting' 'calls at the provider' 'answers of 429,told to come again' >"${1:-docs/storm.svg}"
