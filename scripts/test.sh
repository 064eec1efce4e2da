#!/usr/bin/env bash
# Everything that is checked. What needs no screen runs on the other Pythons meanwhile; its output comes last.
set -euo pipefail
cd "$(dirname "$0")/.."

# Tests start many processes: none is to compile everything anew.
unset PYTHONDONTWRITEBYTECODE

log=$(mktemp)
set -m # the jobs of the background are one group, and end together
scripts/test_other_pythons.sh >"$log" 2>&1 </dev/null &
others=$!
set +m
trap 'kill -- "-$others" 2>/dev/null || true; rm -f "$log"' EXIT

make --no-print-directory check
scripts/on_screen.sh .venv/bin/python -m pytest
echo "Waiting for the other Pythons"
status=0
wait "$others" || status=$?
cat "$log"
exit "$status"
