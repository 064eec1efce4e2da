#!/usr/bin/env bash
# test_other_python.sh MINOR PYTHON [TESTS]: run all tests but those of the GUI and the browser, or those that are named, on
# this Python, with the plain package (no napari, no Qt). Those that are marked "once" do not depend on the Python.
set -euo pipefail
cd "$(dirname "$0")/.."

minor=$1 python=$2
shift 2
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "== Python $minor skipped: $python cannot make virtual environments"
    exit
fi
echo "== Python $minor"
scripts/environment.sh ".venv-$minor" "$python" "" "test"
".venv-$minor/bin/python" -m pytest -m "not once" --ignore tests/plugin --ignore tests/neuroglancer/test_browser.py "$@"
