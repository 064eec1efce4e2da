#!/usr/bin/env bash
# Usage: test_other_python.sh MINOR PYTHON. Test everything but the windows on it, with the plain package (no napari, no
# Qt). What is repeated at random is done a tenth as often there.
set -euo pipefail
cd "$(dirname "$0")/.."

minor=$1 python=$2
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "== Python $minor left out: $python cannot make environments"
    exit
fi
echo "== Python $minor"
scripts/environment.sh ".venv-$minor" "$python" "" "test"
".venv-$minor/bin/python" -m pytest --tenth --ignore tests/plugin --ignore tests/neuroglancer/test_browser.py
