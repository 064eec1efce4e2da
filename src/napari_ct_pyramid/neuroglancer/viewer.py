"""Neuroglancer in one click: shows OME-Zarr volumes with the client that the `neuroglancer` package brings along.

One server gives the browser both the client and the volumes, and takes nothing from it: all that Neuroglancer shows is
in its address. No other machine is asked for anything.
"""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self
from urllib.parse import quote, unquote, urlsplit

from napari_ct_pyramid.errors import RequestError, SourceError
from napari_ct_pyramid.omezarr.reader import Channel, Pyramid, open_pyramid
from napari_ct_pyramid.storage.paths import AnyPath, PathLike, any_path, image_name

from .server import FolderServer
from .state import check, data_format, fragment, view_of, view_unseen

PUBLIC_VIEWER = "https://neuroglancer-demo.appspot.com/"

# The client takes what stands before "/v/" in its address for its server, and what comes after it for its own name; at
# "/events/" and that name it listens to what its server may have to say. This one never says anything.
_CLIENT, _EVENTS = "v/view", "events/view"


class Neuroglancer:
    """Some volumes in Neuroglancer, for as long as they are served: until `stop`, or the end of the ``with`` block.

    Parameters
    ----------
    paths : sequence of path
        OME-Zarr images, 0.4 or 0.5, to be shown together.

    Attributes
    ----------
    url : str
        Where the browser finds the view.
    state_url : str
        The same view, with all that is to be shown written out.

    Raises
    ------
    RequestError
        If the `neuroglancer` package is not installed, or the volumes do not go together.
    SourceError
        If one is no image, or none that Neuroglancer can show.
    """

    def __init__(self, paths: Sequence[PathLike]) -> None:
        self._paths = [any_path(path).absolute() for path in paths]
        folders = {f"volume/{number}": path for number, path in enumerate(self._paths)}
        self._server = FolderServer({_CLIENT: _find_client(), **folders}, silent=_EVENTS)
        self.url = self._server.url
        self.state_url = ""
        try:
            self.renew()
        except BaseException:
            self.stop()
            raise

    def renew(self) -> None:
        """Look at the volumes again, as they may have been made anew. Whoever opens `url` from now on sees them so."""
        volumes = []
        for number, path in enumerate(self._paths):
            pyramid = _open(path)
            volumes.append((pyramid, f"{self.url}volume/{number}/|{data_format(pyramid)}:"))
        self.state_url = f"{self.url}{_CLIENT}/index.html{fragment(view_of(volumes))}"
        self._server.front = self.state_url

    def stop(self) -> None:
        """Serve them no longer."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def public_link(address: str, path: PathLike | None = None) -> str:
    """A link to the public Neuroglancer, for a volume that lies on a web server or in an object store.

    Nothing is read from there: the viewer does that, once somebody follows the link.

    Parameters
    ----------
    address : str
        Of the OME-Zarr: ``https://…``, ``s3://bucket/…`` or ``gs://bucket/…``.
    path : path, optional
        The same OME-Zarr on this machine. With it the link says how far to zoom and where to look; without it, that
        is as the viewer begins.

    Raises
    ------
    RequestError
        If it is no such address.
    SourceError
        If there is no such volume at `path`, or none that Neuroglancer can show.
    """
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https", "s3", "gs") and parts.netloc and not (parts.query or parts.fragment)
    except ValueError:
        good = False
    if not good:
        raise RequestError(
            f"{address!r} is no address of an OME-Zarr that the public viewer could read: it takes one such as "
            "https://example.org/scan.ome.zarr, s3://bucket/scan.ome.zarr or gs://bucket/scan.ome.zarr."
        )
    source = "zarr://" + quote(address.rstrip("/"), safe=":/%~@+,=&$!'()*;[]")
    if path is not None:
        return PUBLIC_VIEWER + fragment(view_of([(_open(any_path(path)), source)]))
    name = image_name(PurePosixPath(unquote(parts.path)).name) or parts.netloc
    return PUBLIC_VIEWER + fragment(view_unseen(source, name))


def open_browser(url: str) -> bool:
    """Open a page in the user's browser; False if there is none with a window."""
    if sys.platform == "linux" and not os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"}:
        return False  # or a browser of the terminal would come up in it
    return webbrowser.open(url)


def _find_client() -> Path:
    """The folder with what Neuroglancer is in the browser. The package itself is not imported: nothing else is used."""
    spec = find_spec("neuroglancer")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        client = Path(folder, "static", "client")
        if (client / "index.html").is_file():
            return client
    raise RequestError(
        "Neuroglancer is not installed. To get the package, which is all that it takes: "
        "pip install 'napari-ct-pyramid[neuroglancer]'"
    )


def _open(path: AnyPath) -> Pyramid:
    if isinstance(path, Path) and path.is_file():
        raise SourceError(
            f"{path} is a file, and Neuroglancer takes OME-Zarr. "
            f"To make one: ct-pyramid convert {path} -c visualization"
        )
    pyramid = open_pyramid(path)
    check(pyramid)
    return _with_windows(pyramid)


def _with_windows(pyramid: Pyramid) -> Pyramid:
    """The same image, with a display window for each channel that has none."""
    from napari_ct_pyramid.model.intensity import estimated_limits
    from napari_ct_pyramid.model.lazy_array import middle_chunk

    axis = pyramid.axis_types.index("channel") if "channel" in pyramid.axis_types else None
    coarsest = pyramid.levels[-1].array
    channels = []
    for index in range(1 if axis is None else coarsest.shape[axis]):
        channel = pyramid.channels[index] if index < len(pyramid.channels) else Channel()
        if channel.window is None:
            level = coarsest if axis is None else coarsest.take(axis, index)
            start, end = estimated_limits([middle_chunk(level)])
            channel = replace(channel, window=(start, end, start, end))
        channels.append(channel)
    return replace(pyramid, channels=tuple(channels))
