#!/usr/bin/env bash
# Test everything but the windows, with the plain package (no napari, no Qt), on each supported Python that this machine
# has besides the main one. What is repeated at random is done a tenth as often there.
set -euo pipefail
cd "$(dirname "$0")/.."

tested=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
while read -r minor python; do
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "== Python $minor left out: $python cannot make environments"
        continue
    fi
    echo "== Python $minor"
    scripts/environment.sh ".venv-$minor" "$python" "" "test"
    ".venv-$minor/bin/python" -m pytest --tenth --ignore tests/napari --ignore tests/browser "$@" </dev/null
    tested+=", $minor"
done < <(scripts/pythons.sh | tail -n +2)
echo "== Tested on Python $tested"
