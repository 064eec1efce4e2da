#!/usr/bin/env bash
# Everything that is checked, in three parts at a time: the windows and the browser, and then the older of the other
# Pythons; all that needs no window; and that on the newest. What is said of all but the windows comes at the end.
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

mapfile -t others < <(scripts/pythons.sh | tail -n +2) # MINOR PYTHON, a line each
parts=(plain)
test_other() {
    local minor python
    read -r minor python <<<"$1"
    parts+=("$minor")
    begin "$minor" scripts/test_other_python.sh "$minor" "$python"
}

begin plain .venv/bin/python -m pytest --ignore tests/plugin --ignore tests/neuroglancer/test_browser.py
[ ${#others[@]} -eq 0 ] || test_other "${others[0]}"
make --no-print-directory check
scripts/on_screen.sh .venv/bin/python -m pytest tests/plugin tests/neuroglancer/test_browser.py
for other in "${others[@]:1}"; do
    test_other "$other"
done

status=0
for group in "${groups[@]}"; do
    wait "$group" || status=$?
done
for part in "${parts[@]}"; do
    cat "$logs/$part"
done
exit "$status"
