#!/usr/bin/env bash
# The chaos of tests/heavy/chaos.rs at the size of the documentation: 1,000 users with access tokens of 20 s, two replicas,
# four minutes of faults by the seed that is named, or 1. Prints one table.
set -euo pipefail
cd "$(dirname "$0")/.."

CHAOS_USERS=1000 CHAOS_SECONDS=200 CHAOS_TOKENS=20 CHAOS_SEED=${1:-1} \
  cargo test --locked --release --test heavy chaos:: -- --nocapture 2>/dev/null
