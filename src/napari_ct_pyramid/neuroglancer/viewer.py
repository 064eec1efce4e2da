"""Shows OME-Zarr volumes in Neuroglancer, with the client that the `neuroglancer` package contains.

One server gives the browser the client and the volumes. The address holds the whole view, so that the server receives
nothing, and no other machine is involved.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self
from urllib.parse import quote, unquote, urlsplit

from napari_ct_pyramid.errors import CONVERT, Advice, RequestError, SourceError
from napari_ct_pyramid.model.intensity import estimated_limits
from napari_ct_pyramid.model.lazy_array import sample_chunks
from napari_ct_pyramid.omezarr.channels import Channel
from napari_ct_pyramid.omezarr.coordinate_systems import as_0_5, has_systems
from napari_ct_pyramid.omezarr.reader import Pyramid, open_pyramid
from napari_ct_pyramid.storage.paths import AnyPath, PathLike, image_name, image_path

from .server import FolderServer
from .state import check_supported, data_format, default_state, fragment, view_state

PUBLIC_VIEWER = "https://neuroglancer-demo.appspot.com/"

# For the client, the part of its address before "/v/" is the server, and the part after it is its own name. It listens
# for messages at "/events/" and that name. This server sends none.
_CLIENT, _EVENTS = "v/view", "events/view"


class Neuroglancer:
    """Volumes shown in Neuroglancer, and served until `stop` or the end of the ``with`` block.

    Parameters
    ----------
    paths : sequence of path
        OME-Zarr images, 0.4 to 0.6, to show together.

    Attributes
    ----------
    url : str
        The address to open in a browser.
    state_url : str
        The same view, with its whole state in the address.

    Raises
    ------
    RequestError
        If the `neuroglancer` package is not installed, or one view cannot show the volumes together.
    SourceError
        If a path is not an image, or not one that Neuroglancer can show.
    """

    def __init__(self, paths: Sequence[PathLike]) -> None:
        self._paths = [image_path(path).absolute() for path in paths]
        folders = {f"volume/{number}": path for number, path in enumerate(self._paths)}
        self._server = FolderServer({_CLIENT: find_client(), **folders}, event_stream=_EVENTS)
        self.url = self._server.url
        self.state_url = ""
        try:
            self.refresh()
        except BaseException:
            self.stop()
            raise

    def refresh(self) -> None:
        """Read the volumes' metadata again, in case they were rewritten. `url` leads to the new view from then on."""
        volumes = []
        for number, path in enumerate(self._paths):
            pyramid = _open(path)
            self._server.documents |= _for_client(pyramid, f"volume/{number}/")
            volumes.append((pyramid, f"{self.url}volume/{number}/|{data_format(pyramid)}:"))
        self.state_url = f"{self.url}{_CLIENT}/index.html{fragment(view_state(volumes))}"
        self._server.redirect = self.state_url

    def stop(self) -> None:
        """Stop serving the volumes."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def public_link(address: str, path: PathLike | None = None) -> str:
    """A link to the public Neuroglancer, for a volume on a web server or in an object store.

    This function reads nothing from that address. The viewer does, when somebody opens the link.

    Parameters
    ----------
    address : str
        Address of the OME-Zarr: ``https://…``, ``s3://bucket/…`` or ``gs://bucket/…``.
    path : path, optional
        The same OME-Zarr on this machine. With it the link holds position, zoom and contrast; without it, the viewer
        chooses them.

    Raises
    ------
    RequestError
        If the public viewer cannot read such an address.
    SourceError
        If there is no volume at `path`, or none that Neuroglancer can show.
    """
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https", "s3", "gs") and parts.netloc and not (parts.query or parts.fragment)
    except ValueError:
        good = False
    if not good:
        raise RequestError(
            f"{address!r} is not an address from which the public viewer can read an OME-Zarr. It takes one such as "
            "https://example.org/scan.ome.zarr, s3://bucket/scan.ome.zarr or gs://bucket/scan.ome.zarr."
        )
    source = "zarr://" + quote(address.rstrip("/"), safe=":/%~@+,=&$!'()*;[]")
    if path is not None:
        return PUBLIC_VIEWER + fragment(view_state([(_open(image_path(path)), source)]))
    name = image_name(PurePosixPath(unquote(parts.path)).name) or parts.netloc
    return PUBLIC_VIEWER + fragment(default_state(source, name))


def find_client() -> Path:
    """The folder of the client, which runs in the browser. Nothing imports the package itself.

    Raises
    ------
    RequestError
        If the `neuroglancer` package is not installed.
    """
    spec = find_spec("neuroglancer")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        client = Path(folder, "static", "client")
        if (client / "index.html").is_file():
            return client
    raise RequestError("Neuroglancer is not installed. Install it: pip install 'napari-ct-pyramid[neuroglancer]'")


def _open(path: AnyPath) -> Pyramid:
    if isinstance(path, Path) and path.is_file():
        raise SourceError(
            f"Neuroglancer shows OME-Zarr, and {path} is a file. To make an OME-Zarr from it: ",
            Advice(CONVERT, str(path)),
        )
    pyramid = open_pyramid(path)
    check_supported(pyramid)
    return _with_windows(pyramid)


def _for_client(pyramid: Pyramid, prefix: str) -> dict[str, bytes]:
    """What the client gets in place of the files of a volume: it does not know the metadata of OME-Zarr 0.6."""
    image = pyramid.metadata["multiscales"][0]
    if not has_systems(image):
        return {}
    attributes = {**pyramid.metadata, "version": "0.5", "multiscales": [as_0_5(image, lambda _: None)[0]]}
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": attributes}}
    return {f"{prefix}zarr.json": json.dumps(group).encode()}


def _with_windows(pyramid: Pyramid) -> Pyramid:
    """The same image, with an estimated display window for each channel that has none."""
    axis = pyramid.axis_types.index("channel") if "channel" in pyramid.axis_types else None
    coarsest = pyramid.levels[-1].array
    channels = []
    for index in range(1 if axis is None else coarsest.shape[axis]):
        channel = pyramid.channels[index] if index < len(pyramid.channels) else Channel()
        if channel.window is None:
            level = coarsest if axis is None else coarsest.take(axis, index)
            start, end = estimated_limits(sample_chunks(level))
            channel = replace(channel, window=(start, end, start, end))
        channels.append(channel)
    return replace(pyramid, channels=tuple(channels))
