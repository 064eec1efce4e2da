"""What `ct-pyramid neuroglancer` does, and prints."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.neuroglancer.viewer import Neuroglancer, open_browser, public_link
from napari_ct_pyramid.storage.paths import AnyPath

from .terminal import say, write


def show(paths: Sequence[AnyPath], *, browser: bool) -> None:
    """Show volumes in the browser, or only print where they are to be seen, until Ctrl-C."""
    if not paths:
        raise RequestError("There is nothing to look at: name an OME-Zarr, or use --link URL for one on a web server.")
    with Neuroglancer(paths) as shown, suppress(KeyboardInterrupt):  # the way to end it
        write(shown.url)
        if not browser:
            write(shown.state_url)
        elif not open_browser(shown.url):
            say("No browser could be opened: open this address in one on this machine.")
        say("Served to this machine only, until Ctrl-C.")
        while True:
            time.sleep(0.5)  # a signal that comes just before a sleep does not end it


def print_link(address: str, paths: Sequence[AnyPath]) -> None:
    """Print a link to the public viewer, for the volume at an address; `paths` may name the same volume here."""
    if len(paths) > 1:
        raise RequestError("--link is for one OME-Zarr: name one PATH at most, the same OME-Zarr on this machine.")
    write(public_link(address, *paths))
    if not paths:
        say("Name the same OME-Zarr on this machine, too, and the link says where to look and how far to zoom.")
    if address.startswith("http://"):
        say("Warning: the public viewer is an https page, and browsers let those read nothing from an http:// server.")
