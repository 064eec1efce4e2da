#!/usr/bin/env bash
# Run all checks. Three parts run at once: the GUI and browser tests; all other tests on the main Python; and those on the
# newest of the other Pythons. The older Pythons start after the GUI tests. The output of all but the GUI tests comes last.
set -euo pipefail
cd "$(dirname "$0")/.."

# The tests start many processes, which should use the compiled modules.
unset PYTHONDONTWRITEBYTECODE

logs=$(mktemp -d)
groups=()
trap 'for group in "${groups[@]}"; do kill -- "-$group" 2>/dev/null || true; done; rm -rf "$logs"' EXIT

# begin NAME COMMAND...: run a command in the background, in a process group that can be killed as one.
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
