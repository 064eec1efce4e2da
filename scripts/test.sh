#!/usr/bin/env bash
# Run all checks. Three parts run at once: the GUI and browser tests; all other tests on the main Python; and those on the
# other Pythons, one after another. The output of all but the GUI tests comes last.
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

mapfile -t others < <(scripts/pythons.sh | tail -n +2) # MINOR PYTHON, a line each, the newest first
test_others() {
    local minor python status=0
    # What can differ by the Python: the text of commands, files, arithmetic, and that all sources are converted and the
    # wheel is installed. How a conversion goes on after an error, or what an export writes, does not.
    local tests=(tests/cli tests/model tests/omezarr tests/sources tests/storage tests/conversion/test_every_way.py tests/test_*.py)
    for other in "${others[@]}"; do
        read -r minor python <<<"$other"
        scripts/test_other_python.sh "$minor" "$python" "${tests[@]}" || status=$?
        # What works on the oldest and on the newest rarely fails between.
        tests=(tests/cli/test_main.py tests/conversion/test_every_way.py tests/test_package.py tests/test_wheel.py)
    done
    return "$status"
}

parts=(plain)
begin plain .venv/bin/python -m pytest --ignore tests/plugin --ignore tests/neuroglancer/test_browser.py
if [ ${#others[@]} -gt 0 ]; then
    parts+=(others)
    begin others test_others
fi
make --no-print-directory check
NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --site-dir "$logs/site" # checks the links, too
scripts/on_screen.sh .venv/bin/python -m pytest tests/plugin tests/neuroglancer/test_browser.py

status=0
for group in "${groups[@]}"; do
    wait "$group" || status=$?
done
for part in "${parts[@]}"; do
    cat "$logs/$part"
done
exit "$status"
