#!/usr/bin/env bash
# Print "MINOR PATH" for one interpreter of each minor version of Python that this package supports and this machine
# has. The first line is the main one: $PYTHON if set, else `python3`, else the newest.
set -euo pipefail
cd "$(dirname "$0")/.."

# The classifiers of pyproject.toml say what is supported, newest last.
supported=$(sed -n 's/.*"Programming Language :: Python :: \(3\.[0-9]*\)".*/\1/p' pyproject.toml)

candidates() {
    [ -z "${PYTHON:-}" ] || command -v "$PYTHON" || echo "there is no $PYTHON" >&2
    command -v python3 || true
    sort -rV <<<"$supported" | while read -r minor; do
        type -ap "python$minor" || true
        # Where pyenv, uv, the devcontainer's image and Debian keep theirs. A pattern that matches nothing names no file.
        printf '%s\n' "${PYENV_ROOT:-$HOME/.pyenv}/versions/$minor".*/bin/python \
            "${XDG_DATA_HOME:-$HOME/.local/share}/uv/python/cpython-$minor"*/bin/python \
            "/usr/local/bin/python$minor" "/usr/bin/python$minor"
    done
}

seen=" "
while read -r candidate; do
    [ -x "$candidate" ] || continue
    # Asked, not guessed from its name: a pyenv shim may fail, and a `python3` be anything. An active environment answers
    # with the Python it was made from, since that outlives it.
    answer=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2], sys._base_executable)' 2>/dev/null) || continue
    minor=${answer%% *}
    grep -qxF "$minor" <<<"$supported" || continue
    [[ $seen == *" $minor "* ]] && continue
    seen+="$minor "
    echo "$answer"
done < <(candidates)
