#!/usr/bin/env bash
# Everything that `make demo` and `make test` need, on a fresh machine. Arguments: further sets of system.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

read -r _ python < <(scripts/pythons.sh) || {
    echo "Python 3.11 or newer is needed and none was found: install one (Debian: apt-get install python3-venv)" \
        "or name it: make PYTHON=/path/to/python3" >&2
    exit 1
}
[ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] || set -- screen "$@"
scripts/system.sh window "$@"
scripts/environment.sh .venv "$python" "[all]" "dev"
