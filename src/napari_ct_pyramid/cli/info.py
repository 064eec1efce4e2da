"""`ct-pyramid info`: prints the facts about a volume, for people or as JSON."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from napari_ct_pyramid.errors import SourceError, UnfinishedError
from napari_ct_pyramid.options import SourceOptions
from napari_ct_pyramid.storage.paths import AnyPath, image_path

from .group import describe_group
from .info_text import describe_info
from .terminal import write, write_json

if TYPE_CHECKING:
    from napari_ct_pyramid.omezarr.collection import ImageEntry
    from napari_ct_pyramid.omezarr.reader import Pyramid
    from napari_ct_pyramid.sources.base import Source


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    options = SourceOptions(**{option.name: getattr(args, option.name) for option in fields(SourceOptions)})
    info = read_info(args.path, options)
    if args.json:
        write_json(info)
    elif "images" in info:
        write(describe_group(info))
    else:
        write(describe_info(info))


def read_info(path: AnyPath, options: SourceOptions | None = None) -> dict[str, Any]:
    """The facts about the volume at `path`, as `--json` prints them: the same keys for every kind of volume.

    Of a group of images, such as a plate, the facts are its images.

    The options say what to read of a source. Of an OME-Zarr image, the facts are those of the whole.

    Raises
    ------
    SourceError
        If it is not a volume that can be read.
    """
    from napari_ct_pyramid.omezarr.collection import list_images
    from napari_ct_pyramid.omezarr.kind import has_multiscales, kind_of

    not_an_image = None
    path = image_path(path)
    kind = kind_of(path)
    if kind == "group" and (images := list_images(path)) and not has_multiscales(path):
        return _group_info(path, images)
    if kind:
        from napari_ct_pyramid.omezarr.reader import open_pyramid

        try:
            return _pyramid_info(open_pyramid(path))
        except UnfinishedError:
            raise
        except SourceError as error:
            not_an_image = error
    from napari_ct_pyramid.sources.registry import open_source

    try:
        with open_source(path, options) as source:
            return _volume_info(path, source)
    except SourceError:
        if not_an_image:
            raise not_an_image from None
        raise


def _group_info(path: AnyPath, images: Sequence[ImageEntry]) -> dict[str, Any]:
    """The facts about a group of images: each with its path."""
    from napari_ct_pyramid.omezarr.kind import read_attributes
    from napari_ct_pyramid.omezarr.reader import open_pyramid

    attributes = read_attributes(path)
    kinds = {"plate": "plate", "well": "well", "bioformats2raw.layout": "collection"}
    kind = next((name for key, name in kinds.items() if key in attributes), "group")
    facts = []
    for image in images:
        entry: dict[str, Any] = {"path": image.path, "kind": image.kind, "shape": None, "axes": None, "dtype": None}
        try:
            first = open_pyramid(path / image.path)
            entry |= {"shape": list(first.original_shape or first.levels[0].shape), "axes": list(first.axes)}
            entry |= {"dtype": str(first.levels[0].dtype), "problem": None}
        except SourceError as error:
            entry["problem"] = str(error)
        facts.append(entry)
    return {"path": str(path), "format": f"OME-Zarr {kind}", "images": facts}


def _volume_info(path: AnyPath, source: Source) -> dict[str, Any]:
    volume = source.volume
    return {
        "path": str(path),
        "format": volume.format,
        "axes": ["z", "y", "x"],
        "shape": list(volume.shape),
        "dtype": str(volume.dtype),
        "rescale": volume.rescale.to_json() if volume.rescale else None,
        "calibration": volume.calibration.to_json() if volume.calibration else None,
        "bytes": volume.nbytes,
        "file_bytes": sum(file.stat().st_size for file in source.files),
        "voxel_size": list(volume.voxel_size) if volume.voxel_size else None,
        "unit": volume.unit,
        "voxel_size_from": volume.voxel_size_from,
        "notes": list(volume.notes),
        "compression": volume.compression,
        "levels": [],
        "labels": [],
        "receipt": None,
    }


def _pyramid_info(pyramid: Pyramid) -> dict[str, Any]:
    from napari_ct_pyramid.conversion.receipt import read_receipt
    from napari_ct_pyramid.omezarr.labels import LABELS, label_images
    from napari_ct_pyramid.sources.voxel_size import FoundVoxelSize
    from napari_ct_pyramid.sources.zarr import find_geometry

    first = pyramid.levels[0]
    shape = pyramid.original_shape or first.shape
    space = [i for i, kind in enumerate(pyramid.axis_types) if kind == "space"]
    size, notes = FoundVoxelSize(), list[str]()
    if len(space) == 3:
        size, _, notes = find_geometry(pyramid, (space[0], space[1], space[2]))
    return {
        "path": str(pyramid.path),
        "format": f"OME-Zarr {pyramid.ome_zarr_version}",
        "axes": list(pyramid.axes),
        "shape": list(shape),
        "dtype": str(first.dtype),
        "rescale": pyramid.rescale.to_json() if pyramid.rescale else None,
        "calibration": pyramid.calibration.to_json() if pyramid.calibration else None,
        "bytes": math.prod(shape) * first.dtype.itemsize,
        "file_bytes": None,  # counting the bytes of many thousands of files takes too long
        "voxel_size": list(size.voxel_size) if size.voxel_size else None,
        "unit": size.unit,
        "voxel_size_from": size.origin,
        "notes": [*pyramid.notes, *notes],
        "compression": pyramid.compression,
        "levels": [
            {
                "path": level.path,
                "shape": list(level.stored_shape),
                "chunks": list(level.chunks),
                "scale": list(level.scale),
                "translation": list(level.translation),
                "bytes": math.prod(level.stored_shape) * level.dtype.itemsize,
            }
            for level in pyramid.levels
        ],
        "labels": [f"{LABELS}/{folder.name}" for folder in label_images(pyramid.path)],
        "receipt": read_receipt(pyramid.path),
    }
