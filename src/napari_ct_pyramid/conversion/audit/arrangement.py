"""Checks how the levels of an image fit together, and how each is stored: shapes, places, chunks, shards, codecs."""

from __future__ import annotations

import itertools
import json
import math
from contextlib import suppress
from typing import Any

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.formatting import format_size, times
from napari_ct_pyramid.omezarr.json_file import read_json
from napari_ct_pyramid.omezarr.metadata import codecs_of
from napari_ct_pyramid.omezarr.versions import numbers_of

from .findings import Report
from .image import Image, Level
from .methods import CENTRE, STRIDE

_COMMON = {"blosc", "zlib", "gzip", "zstd", "bytes", "transpose", "crc32c", "sharding_indexed", "endian"}
_BLOSC = {"lz4", "lz4hc", "zstd", "zlib", "blosclz"}
_LARGE_CHUNK, _LARGEST_CHUNK = 512_000_000, 2**31 - 1  # bytes of voxels; no codec takes more than the second
_TINY_CHUNK, _MANY_TINY, _MANY_FILES = 4096, 10_000, 1_000_000
_LARGE_COARSEST = 2_000_000_000  # bytes of the coarsest level, which viewers load as a whole in 3D


def check_arrangement(image: Image, report: Report) -> None:
    """Report what is wrong with the levels of an image, and their storage."""
    levels = [level for level in image.levels if level.shape]
    for level in levels:
        _check_array(image, level, report)
    same = [level for level in levels if len(level.shape) == len(levels[0].shape)]
    for finer, coarser in itertools.pairwise(same):
        _check_order(finer, coarser, report)
    if same:
        for level in same[1:]:
            _check_scale(image, same[0], level, report)
            _check_translation(image, same[0], level, report)
        _check_coarsest(same[-1], report)
    _check_copies(image, report)


def _check_array(image: Image, level: Level, report: Report) -> None:
    metadata = level.metadata
    assert metadata is not None
    if 0 in level.shape:
        report.error("level-empty", f"it has no voxels: {times(level.shape)}", level.path)
    numbers = numbers_of(image.version) or (0, 4)
    if metadata.get("zarr_format") != (3 if numbers >= (0, 5) else 2):
        report.error("version-format", f"its array is Zarr v{metadata.get('zarr_format')}", level.path)
    if metadata.get("zarr_format") == 2 and numbers >= (0, 2) and metadata.get("dimension_separator", ".") != "/":
        report.warning(
            "separator", "its chunks are files in one folder, where the specification wants folders", level.path
        )
    if metadata.get("zarr_format") == 3:
        _check_names(image, level, metadata, report)
    try:
        chunk, shard, codecs = _storage(metadata)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        report.error("array-metadata", f"its chunks or codecs are broken: {error}", level.path)
        return
    if level.dtype is not None:
        _check_chunks(level, chunk, shard, level.dtype.itemsize, report)
        _check_type(level, level.dtype, report)
    for codec in codecs:
        name = str(codec.get("id") or codec.get("name"))
        inner = codec.get("cname") or (codec.get("configuration") or {}).get("cname")
        if name not in _COMMON or (name == "blosc" and inner not in _BLOSC):
            what = f"{name} {inner}" if inner else name
            report.warning("codec", f"it is compressed with {what}, which common viewers cannot read", level.path)


def _check_type(level: Level, dtype: np.dtype, report: Report) -> None:
    if dtype.kind not in "iufcb":
        report.error("type", f"its voxels are {dtype}, which are no numbers", level.path)
    elif dtype.kind == "c" or dtype.name in ("float16", "float64", "bool"):
        report.note("type", f"its voxels are {dtype}, which Neuroglancer does not read", level.path)


def _check_names(image: Image, level: Level, metadata: dict[str, Any], report: Report) -> None:
    names = metadata.get("dimension_names")
    if names is None:
        report.warning("dimension-names", "its array does not name its dimensions, as OME-Zarr 0.5 wants", level.path)
    elif image.axes and list(names) != list(image.axes):
        report.error(
            "dimension-names",
            f"its array names the dimensions {', '.join(map(str, names))}, and the image {', '.join(image.axes)}",
            level.path,
        )


def _storage(metadata: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...] | None, list[dict[str, Any]]]:
    """The shape of chunks, that of shards, and all codecs."""
    codecs = codecs_of(metadata)
    if metadata["zarr_format"] == 2:
        return tuple(metadata["chunks"]), None, codecs
    outer = tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"])
    for codec in codecs:
        if codec.get("name") == "sharding_indexed":
            settings = codec["configuration"]
            return tuple(settings["chunk_shape"]), outer, [*codecs, *settings["codecs"]]
    return outer, None, codecs


def _check_chunks(
    level: Level, chunk: tuple[int, ...], shard: tuple[int, ...] | None, itemsize: int, report: Report
) -> None:
    if len(chunk) != len(level.shape) or min(chunk) < 1:
        report.error("chunk-shape", f"its chunks are {times(chunk)}, and its shape {times(level.shape)}", level.path)
        return
    size = math.prod(chunk) * itemsize
    if size > _LARGEST_CHUNK:
        report.error("chunk-large", f"a chunk has {format_size(size)}, more than any codec takes", level.path)
    elif size > _LARGE_CHUNK:
        report.warning("chunk-large", f"a chunk has {format_size(size)}: every look at it reads that much", level.path)
    files = math.prod(math.ceil(n / c) for n, c in zip(level.shape, shard or chunk, strict=True))
    if size < _TINY_CHUNK and math.prod(level.shape) > _MANY_TINY * math.prod(chunk):
        report.warning("chunk-tiny", f"a chunk has only {format_size(size)}: reading is slow", level.path)
    if files > _MANY_FILES:
        report.warning("files-many", f"it is {files:,} files", level.path)
    if shard and any(s % c for s, c in zip(shard, chunk, strict=True)):
        report.error(
            "shard-shape", f"its shards of {times(shard)} do not hold whole chunks of {times(chunk)}", level.path
        )


def _check_order(finer: Level, coarser: Level, report: Report) -> None:
    if any(c > f for c, f in zip(coarser.shape, finer.shape, strict=True)):
        report.error(
            "level-order",
            f"it is larger ({times(coarser.shape)}) than the level before it ({times(finer.shape)})",
            coarser.path,
        )
    elif coarser.shape == finer.shape:
        report.warning("level-order", f"it has the shape of the level before it, {times(finer.shape)}", coarser.path)
    if finer.dtype is not None and coarser.dtype is not None and finer.dtype != coarser.dtype:
        report.error(
            "types-differ", f"its voxels are {coarser.dtype}, and those of {finer.path} {finer.dtype}", coarser.path
        )


def factors(finest: Level, level: Level) -> tuple[float, ...] | None:
    """By how much the voxels of a level are larger, by its scale."""
    if finest.scale is None or level.scale is None or len(level.scale) != len(level.shape):
        return None
    return tuple(b / a for a, b in zip(finest.scale, level.scale, strict=True))


def _check_scale(image: Image, finest: Level, level: Level, report: Report) -> None:
    found = factors(finest, level)
    if found is None:
        return
    for axis, factor, n0, n in zip(image.axes, found, finest.shape, level.shape, strict=False):
        if abs(n - n0 / factor) >= 1 + 1e-6 * n0:
            report.error(
                "scale-shape",
                f"along {axis}, its voxels are {factor:.4g} times as large as those of {finest.path}, and it has "
                f"{n:,} of {n0:,}",
                level.path,
            )


def offsets(finest: Level, level: Level) -> tuple[float, ...] | None:
    """Where the first voxel of a level is, in voxels of the finest level; None if that is not stated."""
    if finest.scale is None or level.translation is None or finest.translation is None:
        return None
    return tuple((b - a) / s for a, b, s in zip(finest.translation, level.translation, finest.scale, strict=True))


def _check_translation(image: Image, finest: Level, level: Level, report: Report) -> None:
    """A coarser level begins where the finest does, or half of the difference of their voxels later."""
    found, sizes = offsets(finest, level), factors(finest, level)
    if found is None or sizes is None:
        return
    for axis, offset, factor in zip(image.axes, found, sizes, strict=False):
        if not (_near(offset, 0) or -0.01 <= offset <= (factor - 1) + 0.01):
            report.error(
                "translation",
                f"along {axis}, its first voxel is {offset:.4g} voxels of {finest.path} away from where that begins",
                level.path,
            )


def _near(value: float, other: float) -> bool:
    return abs(value - other) < 0.01


def check_offset(image: Image, finest: Level, level: Level, method: str, report: Report) -> None:
    """Compare the translation of a level with how it was made."""
    found, sizes = offsets(finest, level), factors(finest, level)
    if found is None or sizes is None:
        return
    wrong = []
    for axis, offset, factor in zip(image.axes, found, sizes, strict=False):
        expected = {STRIDE: 0.0, CENTRE: factor // 2}.get(method, (factor - 1) / 2)
        if factor > 1 and not abs(offset - expected) < 0.05 * factor:
            wrong.append(f"{axis} {expected:.4g}, not {offset:.4g}")
    if wrong:
        report.warning(
            "translation-method",
            f"it was made by {method}, so its first voxel is this many voxels of {finest.path} after that of "
            f"{finest.path}: {'; '.join(wrong)}",
            level.path,
        )


def _check_coarsest(level: Level, report: Report) -> None:
    if level.dtype is None:
        return
    size = math.prod(level.shape) * level.dtype.itemsize
    if size > _LARGE_COARSEST:
        report.warning(
            "coarsest-large", f"the coarsest level has {format_size(size)}, and 3D views load it whole", level.path
        )


def _check_copies(image: Image, report: Report) -> None:
    """Compare consolidated metadata with what they are copies of."""
    for name in (".zmetadata", "zarr.json"):
        document: Any = None
        with suppress(SourceError):
            document = read_json(image.path / name)
        if name == "zarr.json" and document is not None:
            document = document.get("consolidated_metadata")
        copies = document.get("metadata") if isinstance(document, dict) else None
        if not isinstance(copies, dict):
            continue
        for level in image.levels:
            key = f"{level.path}/.zarray" if name == ".zmetadata" else level.path
            copy = copies.get(key)
            if copy is not None and level.metadata is not None and not _same(copy, level.metadata):
                report.warning("consolidated", f"the copy of its metadata in {name} is another", level.path)
        if name == ".zmetadata" and ".zattrs" in copies and not _same(copies[".zattrs"], image.attributes):
            report.warning("consolidated", "the copy of its metadata in .zmetadata is another")


def _same(copy: Any, own: Any) -> bool:
    drop = ("attributes", "consolidated_metadata", "storage_transformers")
    parts = [
        {k: v for k, v in value.items() if k not in drop} if isinstance(value, dict) else value for value in (copy, own)
    ]
    first, second = (json.dumps(part, sort_keys=True) for part in parts)
    return first == second
