"""napari's writer contribution: image and labels layers as an OME-Zarr 0.4.

Layers in memory are written by ome-zarr's own writer. Volumes that are read lazily are streamed by the converter. All
is written beside the output, and moved there in one step when it is complete. Nothing that exists is replaced, except
labels whose replacement the user has confirmed.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from napari_ct_pyramid.errors import (
    CtPyramidError,
    MissingFolderError,
    OutputExistsError,
    RequestError,
    SaveError,
    sentence,
)
from napari_ct_pyramid.omezarr.coordinate_systems import from_0_5, has_systems
from napari_ct_pyramid.omezarr.kind import GROUP_FILES, has_multiscales, read_attributes
from napari_ct_pyramid.omezarr.labels import LABELS, listed_labels
from napari_ct_pyramid.omezarr.versions import numbers_of, version_of
from napari_ct_pyramid.options import OmeZarrVersion
from napari_ct_pyramid.storage.paths import OME_ZARR, image_name
from napari_ct_pyramid.storage.remote_path import is_url

from .ngff_layers import FullLayerData, NgffLayer, ngff_layer, unit_factor, with_channels
from .saving import run_in_window
from .wording import wording

_CHUNK = 128  # voxels along each spatial axis
_LARGEST_COARSEST = 512  # voxels along an axis of the coarsest level
_MEMORY = 1_000_000_000  # bytes for the conversion of a lazy layer, besides what napari itself takes
_FORBIDDEN = re.compile(r'[\\/:*?"<>|\x00-\x1f]')  # in the names of files on some system


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
    image = _image_around(Path(path))
    if image:
        name = None if image == Path(path).absolute() else image_name(Path(path).name)
        work = _into_image(image, found, name)
    else:
        work = _new_image(target, found)
    run_in_window(f"Saving {(image or target).name}", work)
    return image or target


def _with_ending(path: Path) -> Path:
    return path if path.name.endswith(".zarr") else path.with_name(path.name + OME_ZARR)


def _image_around(path: Path) -> Path | None:
    """The OME-Zarr image that a path is, or is in."""
    path = path.absolute()
    return next((folder for folder in (path, *path.parents) if folder.is_dir() and has_multiscales(folder)), None)


# A new OME-Zarr


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
    names = _names(labels)
    with _Part(target) as part:
        if image:
            yield from _write_image(part, image)
        else:
            part.mkdir()
            _write_json(part / ".zgroup", {"zarr_format": 2})
        for layer, name in zip(labels, names, strict=True):
            (part / LABELS).mkdir(exist_ok=True)
            yield from _write_image(part / LABELS / name, layer, parent="../../" if image else "")
        if labels:
            _list_labels(part, names, "0.4")
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


def _names(labels: Sequence[NgffLayer]) -> list[str]:
    """A name of a folder for each, all different."""
    found: list[str] = []
    for layer in labels:
        name = safe = _FORBIDDEN.sub("_", layer.name).strip(" .")[:100] or "labels"
        number = 1
        while name in found:
            number += 1
            name = f"{safe} {number}"
        found.append(name)
    return found


# Labels into an image that exists


def _into_image(image: Path, layers: Sequence[NgffLayer], name: str | None) -> Generator[float]:
    """Check that the layers are labels to write into an image, and return the work to do.

    Layers that were opened from the image are the image itself, and are not written.
    """
    labels = [layer for layer in layers if layer.is_labels]
    others = [layer for layer in layers if not layer.is_labels and (name or layer.path != str(image))]
    if others or not labels:
        raise OutputExistsError(
            f"{image} exists already, and was not changed. Choose another name. Only labels can be saved into it.",
            replaceable=False,
        )
    names = [name] if name and len(labels) == 1 else _names(labels)
    for one in names:
        if (image / LABELS / one).exists() and not _may_replace(image, one):
            raise OutputExistsError(
                f"{image.name} has labels {one} already, which were not changed. Rename the layer first.",
                replaceable=False,
            )
    return _write_into(image, dict(zip(names, labels, strict=True)))


def _write_into(image: Path, labels: dict[str, NgffLayer]) -> Generator[float]:
    version = _version_written(image)
    listed = listed_labels(read_attributes(image / LABELS))
    (image / LABELS).mkdir(exist_ok=True)
    for one, layer in labels.items():
        final = image / LABELS / one
        with _Part(final) as part:
            yield from _write_image(part, layer, version, parent="../../")
            _put_in_place(part, final)
    _list_labels(image, [*listed, *labels], version)


def _version_written(image: Path) -> OmeZarrVersion:
    """The version of OME-Zarr for labels of an image: that of the image, as all of a group are of one version."""
    numbers = numbers_of(version_of(read_attributes(image))) or (0, 4)
    if not (image / "zarr.json").exists():
        return "0.4"
    return "0.6" if numbers >= (0, 6) else "0.5"


def _put_in_place(part: Path, final: Path) -> None:
    """Move new labels to their place. The user has agreed that those at that place are removed."""
    before = part.with_name("before")
    if final.exists():
        final.rename(before)
    try:
        part.rename(final)
    except OSError:
        if before.exists():
            before.rename(final)
        raise


def _may_replace(image: Path, name: str) -> bool:
    """Ask the user, if the layers are saved in a window."""
    from .saving import ask

    return ask(f"{image.name} has labels {name} already. Replace them?", "Replace")


def _list_labels(image: Path, names: Sequence[str], version: str) -> None:
    """Write the list of an image's labels, in one step."""
    listed = list(dict.fromkeys(names))
    group = image / LABELS
    if version == "0.4":
        _write_json(group / ".zgroup", {"zarr_format": 2})
        _write_json(group / ".zattrs", {**read_attributes(group), LABELS: listed})
        return
    ome = {**read_attributes(group), "version": version, LABELS: listed}
    _write_json(group / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}})


def _write_json(path: Path, value: dict[str, Any]) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(value, indent=2), encoding="utf-8")
    part.replace(path)


# One image, or one label image


def _write_image(folder: Path, layer: NgffLayer, version: OmeZarrVersion = "0.4", parent: str = "") -> Generator[float]:
    """Write the levels of an image and its metadata. Nothing reads the folder before it is complete."""
    if layer.axes == "zyx" and not layer.is_in_memory and _can_be_streamed(layer):
        yield from _convert(folder, layer, version)
    else:
        yield 0.0
        _write_with_ome_zarr(folder, layer, version)
        _move(folder, layer.translation, version)
    _complete_metadata(folder, layer, version, parent)


def _can_be_streamed(layer: NgffLayer) -> bool:
    """Whether the converter takes the layer: a volume, whose units can be compared."""
    return min(layer.shape) > 1 and all(unit_factor(unit, layer.units[0]) for unit in layer.units)


def _convert(folder: Path, layer: NgffLayer, version: OmeZarrVersion) -> Generator[float]:
    import psutil

    from napari_ct_pyramid.conversion.api import iter_convert
    from napari_ct_pyramid.conversion.edit import edit
    from napari_ct_pyramid.sources.inputs import ArrayInput

    unit = layer.units[0]
    factors = [unit_factor(other, unit) or 1.0 for other in layer.units]
    z, y, x = (value * factor for value, factor in zip(layer.scale, factors, strict=True))
    dz, dy, dx = (value * factor for value, factor in zip(layer.translation, factors, strict=True))
    known = unit is not None or (z, y, x) != (1, 1, 1)
    source = ArrayInput(
        data=layer.levels[0],
        name=layer.name,
        title=f"The layer {layer.name}",
        voxel_size=(z, y, x) if known else None,
        unit=unit,
        translation=(dz, dy, dx),
        is_labels=layer.is_labels,
    )
    conversion = iter_convert(
        source,
        folder,
        chunks=(_CHUNK,) * 3,
        edges="pad",
        method="mode" if layer.is_labels else "mean",
        ome_zarr_version=version,
        max_memory=psutil.Process().memory_info().rss + _MEMORY,
    )
    with closing(conversion):
        for progress in conversion:
            yield progress.fraction
    window = [layer.channels[0]["window"][end] for end in ("start", "end")] if layer.channels else None
    edit(folder, name=layer.name, window=window)


def _write_with_ome_zarr(folder: Path, layer: NgffLayer, version: str) -> None:
    import zarr
    from ome_zarr.format import FormatV04, FormatV05
    from ome_zarr.scale import Methods
    from ome_zarr.writer import write_image, write_multiscale

    ngff = FormatV04() if version == "0.4" else FormatV05()
    group = zarr.open_group(folder, mode="w", zarr_format=ngff.zarr_format)
    options: dict[str, Any] = {
        "fmt": ngff,
        "axes": list(layer.axes),
        "scale": dict(zip(layer.axes, layer.scale, strict=True)),
        "axes_units": {axis: unit for axis, unit in zip(layer.axes, layer.units, strict=True) if unit},
        "name": layer.name,
    }
    chunks = [_CHUNK if axis in "zyx" else 1 for axis in layer.axes]

    def storage(shape: Sequence[int]) -> dict[str, Any]:
        return {"chunks": tuple(min(chunk, n) for chunk, n in zip(chunks, shape, strict=True))}

    if len(layer.levels) > 1:
        write_multiscale(
            list(layer.levels), group, storage_options=[storage(level.shape) for level in layer.levels], **options
        )
        return
    factors = _factors(layer)
    write_image(
        layer.levels[0],
        group,
        scaler=None,
        scale_factors=factors,
        method=Methods.NEAREST if layer.is_labels else Methods.LOCAL_MEAN,
        storage_options=[storage([n // f.get(a, 1) for a, n in zip(layer.axes, layer.shape, strict=True)])
                         for f in [{}, *factors]],
        **options,
    )  # fmt: skip


def _factors(layer: NgffLayer) -> list[dict[str, int]]:
    """How much each coarser level is smaller than the finest, along each axis: half the level before it."""
    sizes = {axis: n for axis, n in zip(layer.axes, layer.shape, strict=True) if axis in "zyx"}
    factors: list[dict[str, int]] = []
    factor = 1
    while max(sizes.values()) // factor > _LARGEST_COARSEST:
        factor *= 2
        factors.append({axis: min(factor, 2 ** (n.bit_length() - 1)) for axis, n in sizes.items()})
    return factors


def _move(folder: Path, translation: Sequence[float], version: str) -> None:
    """Move an image that ome-zarr has written: it writes no translation but that between levels."""
    name, document, attributes = _read_document(folder, version)
    for dataset in attributes["multiscales"][0]["datasets"]:
        scale, *rest = dataset["coordinateTransformations"]
        before = rest[0]["translation"] if rest else [0.0] * len(translation)
        moved = [a + b for a, b in zip(before, translation, strict=True)]
        dataset["coordinateTransformations"] = [scale, {"type": "translation", "translation": moved}]
    _write_json(folder / name, document)


def _complete_metadata(folder: Path, layer: NgffLayer, version: str, parent: str) -> None:
    """Add what the writers do not know: the channels of an image, or the colors of labels."""
    from napari_ct_pyramid.conversion.receipt import change_receipt

    name, document, attributes = _read_document(folder, version)
    attributes["multiscales"][0]["name"] = layer.name
    if version == "0.6" and not has_systems(attributes["multiscales"][0]):  # ome-zarr has written 0.5
        attributes["version"] = version
        attributes["multiscales"][0] = from_0_5(attributes["multiscales"][0])
    if layer.is_labels:
        source = {"source": {"image": parent}} if parent else {}
        attributes["image-label"] = {"version": version, **layer.image_label, **source}
        attributes.pop("omero", None)
    else:
        omero = attributes.get("omero") or {}
        for channel, found in zip(layer.channels, omero.get("channels") or [], strict=False):
            channel["window"] |= {key: found["window"][key] for key in ("min", "max")}  # the converter knows the limits
        attributes["omero"] = {**omero, "channels": layer.channels}
    _write_json(folder / name, document)
    change_receipt(folder, metadata=document if version == "0.4" else document["attributes"])  # of a conversion


def _read_document(folder: Path, version: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The file with an image's metadata: its name, its content, and the part that is of OME-Zarr."""
    name = GROUP_FILES[version]
    document: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return name, document, document if version == "0.4" else document["attributes"]["ome"]
