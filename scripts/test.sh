#!/usr/bin/env bash
# Run all checks. Five parts run at once: the GUI and browser tests; those of conversions; all other tests on the main
# Python; those on the other Pythons, one after another; and the checks that do not run the code. The output of all but the
# GUI tests comes last.
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

mapfile -t pythons < <(scripts/pythons.sh) # MINOR PYTHON, a line each, the main Python first
others=("${pythons[@]:1}")
test_others() {
    local ends minor python tests status=0
    ends=$(printf '%s\n' "${pythons[@]}" | sort -V | sed -n '1p;$p') # the oldest and the newest
    for other in "${others[@]}"; do
        if grep -qxF "$other" <<<"$ends"; then
            # What can differ by the Python: the text of commands, files, arithmetic, threads, HTTP, and that all sources
            # are converted and the wheel is installed.
            tests=(tests/cli tests/model tests/omezarr tests/sources tests/storage tests/conversion/test_every_way.py
                tests/conversion/test_hostile_metadata.py tests/conversion/test_replacement.py
                tests/exports/test_outputs.py tests/neuroglancer/test_server.py tests/test_*.py)
        else # what works on both of them rarely fails between
            tests=(tests/cli/test_main.py tests/conversion/test_every_way.py tests/test_package.py tests/test_wheel.py)
        fi
        read -r minor python <<<"$other"
        scripts/test_other_python.sh "$minor" "$python" "${tests[@]}" || status=$?
    done
    return "$status"
}

check() {
    local status=0
    make --no-print-directory check || status=$?
    NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --site-dir "$logs/site" || status=$? # checks the links, too
    return "$status"
}

# Without the plugins of napari and Qt, which import both.
plain=(.venv/bin/python -m pytest --disable-plugin-autoload -p hypothesispytest)

parts=(check conversion rest)
begin check check
begin conversion "${plain[@]}" tests/conversion
begin rest "${plain[@]}" --ignore tests/conversion --ignore tests/plugin --ignore tests/neuroglancer/test_browser.py
if [ ${#others[@]} -gt 0 ]; then
    parts+=(others)
    begin others test_others
fi
status=0 # a part that fails does not keep the others from being run and printed
scripts/on_screen.sh .venv/bin/python -m pytest tests/plugin tests/neuroglancer/test_browser.py || status=$?
for group in "${groups[@]}"; do
    wait "$group" || status=$?
done
for part in "${parts[@]}"; do
    cat "$logs/$part"
done
exit "$status"
