#!/usr/bin/env bash
# Make a CT-like volume in demo/, convert it, open it in napari (without a display: save a screenshot), and say what to
# try next.
set -euo pipefail
cd "$(dirname "$0")/.."

[ -d .venv ] || echo "The first time, this installs about 1.7 GB, which takes 2 minutes or more."
scripts/setup.sh
.venv/bin/ct-pyramid demo demo
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    echo "Opening it in napari. Close the window to go on."
    .venv/bin/ct-pyramid view demo/sample.ome.zarr
else
    scripts/on_screen.sh .venv/bin/ct-pyramid view demo/sample.ome.zarr --screenshot demo/demo.png
    echo "There is no display: the screenshot is $PWD/demo/demo.png"
fi
cat <<END

This took $SECONDS seconds. Try next:
  source .venv/bin/activate                            # ct-pyramid and napari are commands now
  ct-pyramid info demo/sample.ome.zarr                 # sizes, levels, histogram
  ct-pyramid verify demo/sample.ome.zarr               # is it complete and correct?
  ct-pyramid convert YOUR.tif -c visualization --dry-run
  napari                                               # drop a volume onto it
END
