#!/usr/bin/env bash
# Everything that `make demo` and `make test` need, on a fresh machine. Arguments: further sets of system.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

read -r minor python < <(scripts/pythons.sh) || {
    echo "Python 3.11 or newer is needed and none was found: install one (Debian: apt-get install python3-venv)" \
        "or name it: make PYTHON=/path/to/python3" >&2
    exit 1
}
# Debian keeps these two in a package of their own.
"$python" -c 'import ensurepip, venv' 2>/dev/null || set -- "python$minor-venv" "$@"
[ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] || set -- screen "$@"
scripts/system.sh window "$@"
scripts/environment.sh .venv "$python" "[all]" "dev"
