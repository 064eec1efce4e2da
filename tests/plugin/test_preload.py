"""Loading ahead of time."""

from __future__ import annotations

import subprocess
import sys


def test_it_loads_what_the_first_conversion_needs_and_only_once() -> None:
    code = (
        "import sys, threading\n"
        "from napari_ct_pyramid.plugin.preload import preload\n"
        "assert 'napari_ct_pyramid.conversion.convert' not in sys.modules\n"
        "preload()\n"
        "threads = [t for t in threading.enumerate() if t.name == 'ct-pyramid-preload']\n"
        "preload()\n"
        "assert [t for t in threading.enumerate() if t.name == 'ct-pyramid-preload'] in (threads, [])\n"
        "[thread.join() for thread in threads]\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"napari_ct_pyramid.conversion.convert", "napari_ct_pyramid.plugin.layers"} <= set(done.stdout.split())
