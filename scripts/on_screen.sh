#!/usr/bin/env bash
# Run a command on the screen there is, or else on one that exists for this command only.
set -euo pipefail
if [ "$(uname)" != Linux ] || [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    exec "$@"
fi
export QT_QPA_PLATFORM=xcb # Qt would choose it too, but for a variable that says otherwise
exec xvfb-run -a -s "-screen 0 1400x1000x24" "$@"
