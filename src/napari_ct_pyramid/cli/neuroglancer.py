"""`ct-pyramid neuroglancer`: shows OME-Zarrs in the browser, or prints a link to the public Neuroglancer."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import suppress

from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.storage.paths import AnyPath

from .terminal import print_message, write


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    if args.link is not None:
        print_link(args.link, args.paths)
    else:
        show(args.paths, browser=not args.no_browser)


def show(paths: Sequence[AnyPath], *, browser: bool) -> None:
    """Serve volumes until Ctrl-C, and open them in the browser or print their address.

    Raises
    ------
    RequestError
        If there are no paths.
    """
    if not paths:
        raise RequestError("Name an OME-Zarr to look at, or use --link URL for one on a web server.")
    from napari_ct_pyramid.neuroglancer.browser import open_browser
    from napari_ct_pyramid.neuroglancer.viewer import Neuroglancer

    with Neuroglancer(paths) as shown, suppress(KeyboardInterrupt):  # the user ends it with Ctrl-C
        write(shown.url)
        if not browser:
            write(shown.state_url)
        elif not open_browser(shown.url):
            print_message("No browser could be opened. Open this address in a browser on this machine.")
        print_message("Served to this machine only, until Ctrl-C.")
        while True:
            time.sleep(0.5)  # short: a signal that comes just before a sleep does not end it


def print_link(address: str, paths: Sequence[AnyPath]) -> None:
    """Print a link to the public Neuroglancer for the volume at a web address.

    Parameters
    ----------
    address : str
    paths : sequence of path
        One path of the same volume on this machine, or none.

    Raises
    ------
    RequestError
        If there is more than one path.
    """
    if len(paths) > 1:
        raise RequestError("--link works on one OME-Zarr. Name one PATH at most: the same OME-Zarr on this machine.")
    from napari_ct_pyramid.neuroglancer.viewer import public_link

    write(public_link(address, *paths))
    if not paths:
        print_message(
            "If you also name the same OME-Zarr on this machine, the link has its position, zoom and contrast."
        )
    if address.startswith("http://"):
        print_message(
            "Warning: the public Neuroglancer is an https page. Browsers do not let it read from an http:// server."
        )
