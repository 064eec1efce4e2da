"""Opens an address in the user's browser, without showing it to the other users of the machine."""

from __future__ import annotations

import html
import os
import sys
import webbrowser
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkstemp

_PAGE = """<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0;url={url}"><title>CT Pyramid</title><a href="{url}">Open the volume</a>
"""


def open_browser(url: str) -> bool:
    """Open an address in the user's browser; False if there is no browser with a window.

    Every user of a machine can read the command line of a browser. So the browser is given a file that only this user
    can read, and that leads to the address. The file is removed when this process ends.
    """
    if sys.platform == "linux" and not os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"}:
        return False  # otherwise a text browser might start in the terminal
    handle, name = mkstemp(".html", "open-", _private_folder().name)
    with os.fdopen(handle, "w", encoding="utf-8") as page:
        page.write(_PAGE.format(url=html.escape(url)))
    return webbrowser.open(Path(name).as_uri())


@cache
def _private_folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="ct-pyramid-", ignore_cleanup_errors=True)
