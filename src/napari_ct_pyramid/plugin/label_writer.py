"""Writes labels into an OME-Zarr image that exists: all of them, or none."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_ct_pyramid.errors import ConversionError, OutputExistsError, RequestError
from napari_ct_pyramid.omezarr.kind import has_multiscales, read_attributes
from napari_ct_pyramid.omezarr.labels import LABELS, listed_labels
from napari_ct_pyramid.omezarr.versions import numbers_of, version_of
from napari_ct_pyramid.options import OmeZarrVersion
from napari_ct_pyramid.parsing import parse_json
from napari_ct_pyramid.storage.paths import image_name

from .image_writer import folder_names, write_image, write_json
from .ngff_layers import NgffLayer
from .saving import ask


class _NotPutBackError(ConversionError):
    """Labels that were there before are not in their place any more."""


def image_around(path: Path) -> Path | None:
    """The OME-Zarr image that a path is, or is in. A label image of another image is a part of that one."""
    path = path.absolute()
    return next(
        (
            folder
            for folder in (path, *path.parents)
            if folder.is_dir() and has_multiscales(folder) and "image-label" not in read_attributes(folder)
        ),
        None,
    )


def write_into(image: Path, layers: Sequence[NgffLayer], path: Path) -> Generator[float]:
    """Check that the layers are labels to write into an image, and return the work to do.

    Layers that were opened from the image are the image itself, and are not written. One layer of labels gets the name
    of the `path`, if that is in the image.
    """
    path = path.absolute()
    name = None if path in (image, image / LABELS) else image_name(path.name)
    labels = [layer for layer in layers if layer.is_labels]
    others = [layer for layer in layers if not layer.is_labels and (name or layer.path != str(image))]
    if others or not labels:
        raise OutputExistsError(
            f"{image} exists already, and was not changed. Choose another name. Only labels can be saved into it.",
            replaceable=False,
        )
    names = [name] if name and len(labels) == 1 else folder_names(labels)
    version = _version_written(image)
    _read_group(image / LABELS, version)
    for one in names:
        if (image / LABELS / one).exists() and not ask(
            f"{image.name} has labels {one} already. Replace them?", "Replace"
        ):
            raise OutputExistsError(
                f"{image.name} has labels {one} already, which were not changed. Rename the layer first.",
                replaceable=False,
            )
    return _write(image, dict(zip(names, labels, strict=True)), version)


def _write(image: Path, labels: Mapping[str, NgffLayer], version: OmeZarrVersion) -> Generator[float]:
    group = image / LABELS
    exists = group.exists()
    group.mkdir(exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".labels.", suffix=".part", dir=group))
    try:
        parts = {}
        for number, (name, layer) in enumerate(labels.items()):
            parts[name] = work / f"new {number}"
            for fraction in write_image(parts[name], layer, version, parent="../../"):
                yield (number + fraction) / len(labels)
        _put_in_place(group, parts, version)
    except _NotPutBackError:  # what is left in the folder is the user's
        raise
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        if not exists and not any(group.iterdir()):
            group.rmdir()
        raise
    shutil.rmtree(work, ignore_errors=True)


def _put_in_place(group: Path, parts: Mapping[str, Path], version: OmeZarrVersion) -> None:
    """Move new labels to their places, and list them: all, or none. The user has agreed to what they replace."""
    moved: list[tuple[Path, Path]] = []
    try:
        for number, (name, part) in enumerate(parts.items()):
            final, before = group / name, part.with_name(f"before {number}")
            for old, new in ((final, before), (part, final)):
                if old.exists():
                    old.rename(new)
                    moved.append((old, new))
        list_labels(group, [*listed_labels(read_attributes(group)), *parts], version)
    except BaseException as error:
        _put_back(moved, error)
        raise


def _put_back(moved: Sequence[tuple[Path, Path]], reason: BaseException) -> None:
    for old, new in reversed(moved):
        try:
            new.rename(old)
        except OSError as error:
            why = getattr(reason, "strerror", None) or reason
            raise _NotPutBackError(
                f"The labels could not be saved: {why}. {old} could not be put back; it is {new} now. Move it back."
            ) from error


def _version_written(image: Path) -> OmeZarrVersion:
    """The version of OME-Zarr for labels of an image: that of the image, as all of a group are of one version."""
    numbers = numbers_of(version_of(read_attributes(image))) or (0, 4)
    if not (image / "zarr.json").exists():
        return "0.4"
    return "0.6" if numbers >= (0, 6) else "0.5"


def list_labels(group: Path, names: Sequence[str], version: OmeZarrVersion) -> None:
    """Write the list of labels into their group. What else its attributes hold is kept."""
    listed = list(dict.fromkeys(names))
    document = _read_group(group, version)
    if version == "0.4":
        write_json(group / ".zgroup", {"zarr_format": 2})
        write_json(group / ".zattrs", {**document, LABELS: listed})
        return
    attributes = document.get("attributes") or {}
    ome = {**(attributes.get("ome") or {}), "version": version, LABELS: listed}
    node = {"zarr_format": 3, "node_type": "group", **document, "attributes": {**attributes, "ome": ome}}
    write_json(group / "zarr.json", node)


def _read_group(group: Path, version: OmeZarrVersion) -> dict[str, Any]:
    """The file with the attributes of a group of labels; empty if there is none.

    Raises
    ------
    RequestError
        If it is damaged.
    """
    file = group / (".zattrs" if version == "0.4" else "zarr.json")
    if not file.is_file():
        return {}
    try:
        found = parse_json(file.read_bytes())
    except ValueError as error:
        raise RequestError(f"{file} is damaged ({error}), and was not changed. Save under another name.") from error
    attributes = found.get("attributes") if version != "0.4" and isinstance(found, dict) else None
    ome = attributes.get("ome") if isinstance(attributes, dict) else None
    if not all(isinstance(each, dict | None) for each in (found, attributes, ome)):
        raise RequestError(f"{file} is damaged, and was not changed. Save under another name.")
    return found or {}
