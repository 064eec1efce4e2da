#!/usr/bin/env bash
# Print a line "MINOR PATH" for each minor version of Python that this package supports and this machine has. The first
# line is the main Python: $PYTHON if set, otherwise `python3`, otherwise the newest.
set -euo pipefail
cd "$(dirname "$0")/.."

# The classifiers in pyproject.toml list the supported versions, newest last.
supported=$(sed -n 's/.*"Programming Language :: Python :: \(3\.[0-9]*\)".*/\1/p' pyproject.toml)

candidates() {
    [ -z "${PYTHON:-}" ] || command -v "$PYTHON" || echo "there is no $PYTHON" >&2
    command -v python3 || true
    sort -rV <<<"$supported" | while read -r minor; do
        type -ap "python$minor" || true
        # Where pyenv, uv, the image of the devcontainer and Debian install Python. A pattern without a match is not a file.
        printf '%s\n' "${PYENV_ROOT:-$HOME/.pyenv}/versions/$minor".*/bin/python \
            "${XDG_DATA_HOME:-$HOME/.local/share}/uv/python/cpython-$minor"*/bin/python \
            "/usr/local/bin/python$minor" "/usr/bin/python$minor"
    done
}

seen=" "
while read -r candidate; do
    [ -x "$candidate" ] || continue
    # The interpreter itself tells its version: a pyenv shim may fail, and `python3` may be any version. In an active
    # environment, sys._base_executable is the Python that made it, which stays when the environment is removed.
    answer=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2], sys._base_executable)' 2>/dev/null) || continue
    minor=${answer%% *}
    grep -qxF "$minor" <<<"$supported" || continue
    [[ $seen == *" $minor "* ]] && continue
    seen+="$minor "
    echo "$answer"
done < <(candidates)
