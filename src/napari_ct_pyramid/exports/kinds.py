"""The kinds of output, by the ending of their names."""

from __future__ import annotations

import os
from dataclasses import dataclass

from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.storage.paths import OME_ZARR, AnyPath, PathLike, outer_path
from napari_ct_pyramid.storage.remote_path import RemotePath


@dataclass(frozen=True)
class Kind:
    """A kind of output.

    Attributes
    ----------
    name : str
        To show.
    endings : tuple of str
        Of the output's name, the usual one first; none for a folder of slices.
    phrase : str
        What it is, for help texts.
    holds_half : bool
        Whether it holds float16. Otherwise such voxels become float32, which holds each of their values.
    """

    name: str
    endings: tuple[str, ...]
    phrase: str
    holds_half: bool = False


OME_TIFF = Kind("OME-TIFF", (".ome.tif", ".ome.tiff"), "an OME-TIFF")
TIFF = Kind("TIFF", (".tif", ".tiff"), "a TIFF with one page a slice, which ImageJ opens", holds_half=True)
META_IMAGE = Kind("MetaImage", (".mhd", ".mha"), "a MetaImage; the voxels of a .mhd are in a .raw beside it")
NRRD = Kind("NRRD", (".nrrd",), "an NRRD")
OME_ZARR_FOLDER = Kind("OME-Zarr", (OME_ZARR, ".zarr"), "an OME-Zarr with all its levels", holds_half=True)
ONE_FILE = Kind("OME-Zarr in one file", (".ozx",), "the same in one file (a zip archive)", holds_half=True)
SLICES = Kind("slices", (), "a folder of TIFF slices, NAME_0000.tif and so on", holds_half=True)

KINDS = (TIFF, OME_TIFF, SLICES, META_IMAGE, NRRD, OME_ZARR_FOLDER, ONE_FILE)
"""All kinds."""

_BY_ENDING = {ending: kind for kind in KINDS for ending in kind.endings}


def outputs_text() -> str:
    """What a user may give as OUTPUT, for help texts."""
    texts = [f"{kind.endings[0]}: {kind.phrase}" for kind in KINDS if kind.endings]
    return "; ".join([*texts, f"a name without an ending: {SLICES.phrase}"])


def find_kind(output: PathLike) -> tuple[AnyPath, Kind]:
    """The path of an output, and its kind.

    Parameters
    ----------
    output : path
        Its ending decides. A name without one, one that ends with a slash, or a folder means a folder of slices.

    Raises
    ------
    RequestError
        If the ending is none of those that can be written, or such a file cannot be in an object store.
    """
    text = str(output) if isinstance(output, RemotePath) else os.fspath(output)
    path = outer_path(output)
    name = path.name.lower()
    is_folder = text.endswith(("/", os.sep)) and not isinstance(path, RemotePath)
    # The longest ending that fits: .ome.tif before .tif.
    ending = max((end for end in _BY_ENDING if name.endswith(end) and name != end), key=len, default=None)
    kind = _BY_ENDING[ending] if ending else SLICES
    if kind not in (SLICES, OME_ZARR_FOLDER) and is_folder:
        raise RequestError(f"{path.name}/ is a folder, and {ending} is the ending of a file. Leave one of them out.")
    if kind is SLICES and path.suffix and not is_folder and not path.is_dir():
        raise RequestError(
            f"The output {path.name} has the ending {path.suffix}, which cannot be written. Choose one of "
            f"{', '.join(_BY_ENDING)}; or end the name with / for a folder of slices."
        )
    if isinstance(path, RemotePath) and kind is not OME_ZARR_FOLDER:
        raise RequestError(
            f"The output {path} is in an object store, where only an OME-Zarr can be written ({OME_ZARR}). Choose a "
            "path on this machine."
        )
    return path, kind
