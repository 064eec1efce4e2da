"""napari's writer contribution: image and labels layers as an OME-Zarr 0.4.

All is written beside the output, and moved there in one step when it is complete. Nothing that exists is replaced,
except labels whose replacement the user has confirmed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path

from napari_ct_pyramid.errors import (
    CtPyramidError,
    MissingFolderError,
    OutputExistsError,
    RequestError,
    SaveError,
    sentence,
)
from napari_ct_pyramid.omezarr.labels import LABELS
from napari_ct_pyramid.storage.paths import OME_ZARR
from napari_ct_pyramid.storage.remote_path import is_url

from .image_writer import folder_names, write_image, write_json
from .label_writer import image_around, list_labels, write_into
from .ngff_layers import FullLayerData, NgffLayer, ngff_layer, with_channels
from .saving import run_in_window
from .wording import wording


def write_layers(path: str, layers: Sequence[FullLayerData]) -> list[str]:
    """Write image and labels layers as one OME-Zarr: a writer of napari.

    Parameters
    ----------
    path : str
        Where to write it. Labels alone may be saved into an existing image: at its own path, or at a path in it.
    layers : sequence of tuple
        Data, settings and type of each layer. Several images become the channels of one, and labels its labels.

    Returns
    -------
    list of str
        The path that was written.

    Raises
    ------
    SaveError
        If OME-Zarr cannot express the layers, or something exists at the path, or writing fails. Nothing was written.
        It is not one of the errors that derive from ValueError, which napari takes for "no writer was found".
    """
    target = _with_ending(Path(path).absolute())
    try:
        return [str(_write(path, target, layers))]
    except CtPyramidError as error:
        raise SaveError(sentence(error, wording)) from error
    except OSError as error:
        raise SaveError(f"{target} could not be written: {error.strerror or error}.") from error


def _write(path: str, target: Path, layers: Sequence[FullLayerData]) -> Path:
    """Write the layers, and return the path of the OME-Zarr that holds them."""
    if is_url(path):
        raise RequestError(f"napari cannot save to {path}. Save on this machine, and convert that to the object store.")
    found = [ngff_layer(layer) for layer in layers]
    image = image_around(Path(path))
    work = write_into(image, found, Path(path)) if image else _new_image(target, found)
    run_in_window(f"Saving {(image or target).name}", work)
    return image or target


def _with_ending(path: Path) -> Path:
    return path if path.name.endswith(".zarr") else path.with_name(path.name + OME_ZARR)


def _new_image(target: Path, layers: Sequence[NgffLayer]) -> Generator[float]:
    """Check that the layers can be written as a new OME-Zarr, and return the work to do."""
    if target.exists() or target.is_symlink():
        raise OutputExistsError(f"{target} exists already, and was not changed. Try another name.", replaceable=False)
    if not target.parent.is_dir():
        raise MissingFolderError(f"There is no folder {target.parent}. Make it first.", folder=str(target.parent))
    images = [layer for layer in layers if not layer.is_labels]
    labels = [layer for layer in layers if layer.is_labels]
    if images:
        return _write_new(target, with_channels(images), labels)
    return _write_new(target, labels[0], []) if len(labels) == 1 else _write_new(target, None, labels)


def _write_new(target: Path, image: NgffLayer | None, labels: Sequence[NgffLayer]) -> Generator[float]:
    names = folder_names(labels)
    with _Part(target) as part:
        if not image:
            part.mkdir()
            write_json(part / ".zgroup", {"zarr_format": 2})
        folders = [part] if image else []
        folders += [part / LABELS / name for name in names]
        for number, (folder, layer) in enumerate(zip(folders, [*filter(None, [image]), *labels], strict=True)):
            folder.parent.mkdir(exist_ok=True)
            for fraction in write_image(folder, layer, parent="../../" if image and number else ""):
                yield (number + fraction) / len(folders)
        if labels:
            list_labels(part / LABELS, names, "0.4")
        part.rename(target)


class _Part:
    """A folder beside the output in which it is made. What is left of it is removed at the end."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __enter__(self) -> Path:
        self._folder = Path(
            tempfile.mkdtemp(prefix=f".{self._target.name[:40]}.", suffix=".part", dir=self._target.parent)
        )
        return self._folder / "image"

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
