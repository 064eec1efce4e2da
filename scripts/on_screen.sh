#!/usr/bin/env bash
# Run a command on the display, or on a virtual one where there is none.
set -euo pipefail
if [ "$(uname)" != Linux ] || [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    exec "$@"
fi
export QT_QPA_PLATFORM=xcb # overrides a setting such as "offscreen"
exec xvfb-run -a -s "-screen 0 1400x1000x24" "$@"
