#!/usr/bin/env bash
# Everything that is checked, in three parts at a time: the windows and the browser; all that needs neither; and that on
# the other Pythons. What is said of the last two comes at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

# Tests start many processes: none is to compile everything anew.
unset PYTHONDONTWRITEBYTECODE

logs=$(mktemp -d)
groups=()
trap 'for group in "${groups[@]}"; do kill -- "-$group" 2>/dev/null || true; done; rm -rf "$logs"' EXIT

# begin NAME COMMAND...: run it in the background, as a group of jobs that ends together.
begin() {
    local name=$1
    shift
    set -m
    "$@" >"$logs/$name" 2>&1 </dev/null &
    set +m
    groups+=("$!")
}

begin others scripts/test_other_pythons.sh
begin plain .venv/bin/python -m pytest --ignore tests/napari --ignore tests/browser
make --no-print-directory check
scripts/on_screen.sh .venv/bin/python -m pytest tests/napari tests/browser

status=0
for group in "${groups[@]}"; do
    wait "$group" || status=$?
done
cat "$logs/plain" "$logs/others"
exit "$status"
