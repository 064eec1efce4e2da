"""Compares the files of an image with the chunks that its levels have."""

from __future__ import annotations

import math
from pathlib import PurePosixPath

import numpy as np

from napari_ct_pyramid.model.formatting import count, format_size
from napari_ct_pyramid.omezarr.metadata import ChunkLocator, codecs_of
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import STATE_FOLDER, AnyPath
from napari_ct_pyramid.storage.remote_path import RemotePath
from napari_ct_pyramid.storage.store_access import WEB
from napari_ct_pyramid.storage.zip_path import ZipPath

from .findings import Report
from .image import Image, Level, first_places

_METADATA = {".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json"}
_OF_SYSTEMS = {".DS_Store", "Thumbs.db", "desktop.ini"}
_NAMED = 3  # examples in a finding
_INDEX_BYTES = 20  # at least, of a shard
_MOST_MISSING = 100_000_000  # files of which each is kept in mind, with a byte


def check_files(image: Image, report: Report) -> bool:
    """Report files that are missing, empty, special, of no chunk, or of a wrong size. False if none can be listed."""
    path = image.path
    if isinstance(path, RemotePath) and path.scheme in WEB and not isinstance(path, ZipPath):
        report.note("not-listed", "a web server lists no files, so missing ones are not looked for")
        return False
    for level in image.levels:
        if level.metadata is not None and level.shape and level.array is not None:
            _check_level(image, level, report)
    _check_others(image, report)
    return True


def _check_level(image: Image, level: Level, report: Report) -> None:
    assert level.metadata is not None
    assert level.dtype is not None
    locator = ChunkLocator(image.path / level.path, level.metadata)
    largest = _file_bytes(level)
    is_exact = _is_raw(level)
    total = math.prod(locator.grid)
    keeps = total <= _MOST_MISSING
    missing = np.ones(locator.grid if keeps else (), bool)
    found = 0
    flawed: dict[str, list[str]] = {"empty": [], "special": [], "wrong": [], "stray": []}
    sizes: dict[str, int] = {}
    for key, size in storage_of(image.path / level.path).files_below():
        if locator.has_file(key):
            found += 1
            missing[locator.index(key) if keeps else ()] = False
            if flaw := _flaw(image.path / level.path / key, size, largest, is_exact):
                flawed[flaw].append(key)
                sizes[key] = size
        elif key not in _METADATA and PurePosixPath(key).name not in _OF_SYSTEMS:
            flawed["stray"].append(key)
    if found < total:
        level.missing = missing if keeps else None
        _report_missing(level, locator, total - found, total, report)
    if empty := flawed["empty"]:
        report.error("file-empty", f"{_named(empty)} {_have(empty)} no bytes", level.path)
    if special := flawed["special"]:
        report.error("file-special", f"{_named(special)} {_are(special)} no ordinary file", level.path)
    for key in flawed["wrong"][:_NAMED]:
        most = "" if is_exact else "at most "
        what = f"{key} has {format_size(sizes[key])}, and a chunk has {most}{format_size(largest)}"
        report.error("file-size", what, level.path)
    if stray := flawed["stray"]:
        report.warning("file-stray", f"{_named(stray)} {_are(stray)} of no chunk", level.path)


def _report_missing(level: Level, locator: ChunkLocator, missing: int, total: int, report: Report) -> None:
    examples = [] if level.missing is None else list(map(locator.key, first_places(level.missing, _NAMED)))
    if missing == total:
        report.warning("files-missing", "it has no chunks: every voxel reads as the fill value", level.path)
    else:
        report.warning(
            "files-missing",
            f"{count(missing, 'file')} of {total:,} {'is' if missing == 1 else 'are'} not there and "
            f"{'reads' if missing == 1 else 'read'} as the fill value{': ' * bool(examples)}{', '.join(examples)}",
            level.path,
        )


def _flaw(path: AnyPath, size: int, largest: int, is_exact: bool) -> str:
    """What is wrong with the file of a chunk, by its kind and size; empty if nothing is."""
    if size < 0:  # a link to a file is as good as the file; a pipe, a device or a link to nothing is not
        return "" if storage_of(path).is_file() else "special"
    if size == 0:
        return "empty"
    return "wrong" if size > 2 * largest + 65536 or (is_exact and size != largest) else ""


def _file_bytes(level: Level) -> int:
    """The bytes of voxels in a file."""
    assert level.metadata is not None
    assert level.dtype is not None
    if level.metadata["zarr_format"] == 2:
        shape = level.metadata["chunks"]
    else:
        shape = level.metadata["chunk_grid"]["configuration"]["chunk_shape"]
    return int(math.prod(shape) * level.dtype.itemsize)


def _is_raw(level: Level) -> bool:
    """Whether every file has the same size: nothing is compressed, and nothing is added."""
    assert level.metadata is not None
    return all(codec.get("name") in ("bytes", "transpose") for codec in codecs_of(level.metadata))


def _check_others(image: Image, report: Report) -> None:
    """Name arrays and files in the group that belong to nothing."""
    known = {level.path.partition("/")[0] for level in image.levels} | {"labels", "OME", STATE_FOLDER} | _METADATA
    try:
        entries: list[AnyPath] = sorted(image.path.iterdir(), key=str)
    except OSError:
        return
    others = [path for path in entries if path.name not in known | _OF_SYSTEMS]
    arrays = [p.name for p in others if any((p / name).is_file() for name in (".zarray", "zarr.json"))]
    files = [p.name for p in others if p.name not in arrays]
    if arrays:
        report.warning("array-unlisted", f"{_named(arrays)} {_are(arrays)} not listed as a level")
    if files:
        report.note("file-stray", f"{_named(files)} {'belongs' if len(files) == 1 else 'belong'} to no OME-Zarr")


def _named(keys: list[str]) -> str:
    shown = ", ".join(sorted(keys)[:_NAMED])
    return shown if len(keys) <= _NAMED else f"{shown} and {len(keys) - _NAMED:,} more"


def _are(keys: list[str]) -> str:
    return "is" if len(keys) == 1 else "are"


def _have(keys: list[str]) -> str:
    return "has" if len(keys) == 1 else "have"
