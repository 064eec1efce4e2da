#!/usr/bin/env bash
# Install everything that `make demo` needs. Arguments: more package sets of system.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

read -r minor python < <(scripts/pythons.sh) || {
    echo "No Python 3.11 or newer was found. Install one (Debian: apt-get install python3-venv) or name it:" \
        "make PYTHON=/path/to/python3" >&2
    exit 1
}
# Debian has these two modules in a separate package.
"$python" -c 'import ensurepip, venv' 2>/dev/null || set -- "python$minor-venv" "$@"
[ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] || set -- screen "$@"
scripts/system.sh window "$@"
scripts/environment.sh .venv "$python" "[all]" "dev"
