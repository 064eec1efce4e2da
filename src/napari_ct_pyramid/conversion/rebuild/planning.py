"""Finds which levels of an OME-Zarr are missing or wrong, and states how they are made again. It writes nothing."""

from __future__ import annotations

import itertools
import math
import os
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from napari_ct_pyramid.conversion.audit.findings import Audit, LevelVerdict, Report
from napari_ct_pyramid.conversion.audit.image import Image, Level
from napari_ct_pyramid.conversion.audit.methods import CENTRE, GAUSSIAN, whole_factors
from napari_ct_pyramid.conversion.audit.run import AuditProgress, iter_audit_steps
from napari_ct_pyramid.conversion.audit.specification import read_image
from napari_ct_pyramid.conversion.progress import Progress
from napari_ct_pyramid.conversion.unfinished import explained
from napari_ct_pyramid.conversion.verify import iter_verification, plan_of, read_record
from napari_ct_pyramid.errors import Advice, RequestError, SourceError
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.omezarr.array import ZarrArray
from napari_ct_pyramid.omezarr.collection import list_images
from napari_ct_pyramid.omezarr.documents import check_parents
from napari_ct_pyramid.omezarr.file_encoder import encode_file
from napari_ct_pyramid.omezarr.journal import Record
from napari_ct_pyramid.omezarr.json_file import read_json
from napari_ct_pyramid.omezarr.kind import EDIT, JOURNAL, has_multiscales, read_attributes
from napari_ct_pyramid.omezarr.labels import listed_labels
from napari_ct_pyramid.omezarr.metadata import ChunkLocator, array_metadata
from napari_ct_pyramid.options import METHODS, ConversionOptions
from napari_ct_pyramid.parsing import parse_size
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.lock import check_free, check_state_folder
from napari_ct_pyramid.storage.paths import AnyPath

from .note import NewLevel, Note, check_paths, locator, read_note

_OF_VOXELS = {
    "chunk-damaged", "chunk-missing", "level-differs", "level-unrelated", "nan-new", "file-empty", "file-size",
    "file-damaged", "file-special", "level-missing", "array-metadata",
}  # fmt: skip
_MADE = {*METHODS, CENTRE}
_OF_NUMBERS = {"mean", "median"}
"""Methods that compute values, so that labels would get ones that no voxel has."""


@dataclass(frozen=True)
class RebuildPlan:
    """What a rebuild does.

    Attributes
    ----------
    path : Path or RemotePath
        Of the image.
    note : Note or None
        None if no level is missing or wrong.
    nbytes : int
        Of the voxels that are read to make the levels.
    resumed : bool
        Whether an earlier one was interrupted.
    attributes : dict
        Of the image, as it was verified.
    errors : tuple of str
        What else the verification found wrong, which this does not change.
    """

    path: AnyPath
    note: Note | None
    nbytes: int = 0
    resumed: bool = False
    attributes: dict[str, Any] = field(default_factory=dict)
    errors: tuple[str, ...] = ()


def check_method(method: str | None) -> None:
    """Make sure that a method is one that levels can be made by. Raises `RequestError`."""
    if method is not None and method not in METHODS:
        raise RequestError(f"{method!r} is no method. There are {', '.join(METHODS)}.")


def iter_planning(
    path: AnyPath, method: str | None, *, max_memory: str | int, threads: int | None
) -> Generator[AuditProgress | Progress, None, RebuildPlan]:
    """Verify an image, and plan the rebuild of its coarser levels that are missing or wrong.

    Raises
    ------
    SourceError
        If there is no image, or its level 0 is damaged.
    RequestError
        If it is not in a place that can be changed, or its levels cannot be made.
    OutputBusyError
        If another process writes to it.
    """
    _check_place(path)
    with explained(f"The levels of {path} could not be rebuilt"):
        found = read_note(path)
    if found:
        if method and method != found.method:
            raise RequestError(
                f"An interrupted rebuild makes the levels by {found.method}. Complete it first, without a method."
            )
        return RebuildPlan(path, found, _bytes_to_read(path, found), resumed=True)
    check_no_edit(path)
    attributes = read_attributes(path, strict=True)
    is_labels = _is_labels(path, attributes)
    if is_labels and method in _OF_NUMBERS:
        raise RequestError(
            f"{path} is an image of labels, and by {method} it would get labels that nothing has. Choose another (",
            Advice("method", "mode"), ").",
        )  # fmt: skip
    errors: tuple[str, ...]
    if storage_of(path / JOURNAL).is_file():
        wrong, method, errors = yield from _wrong_of_ours(path, method, max_memory, threads)
        image = _image(path, attributes)
        new = {level.path for level in image.levels[1:]} & wrong
        ours = array_metadata(plan_of_ours(path, max_memory, threads)[0])
        metadata = {key.rpartition("/")[0]: value for key, value in ours.items()}
    else:
        audit = yield from iter_audit_steps(path, deep=True, max_memory=max_memory, threads=threads)
        image = _image(path, attributes)
        if not audit.chunks:
            raise SourceError(f"The levels of {path} could not be verified: {audit.findings[0]}.")
        listed = {level.path for level in image.levels}
        wrong, metadata = _wrong(audit) & listed, {}
        _check_finest(audit, image.levels[0].path)
        first = next((k for k, level in enumerate(image.levels) if level.path in wrong), len(image.levels))
        new = {level.path for level in image.levels[max(1, first) :]}
        if new and not method:
            verdicts = [verdict for verdict in audit.levels if verdict.level in listed]
            method = _vote(verdicts, wrong, is_labels=is_labels)
        errors = tuple(str(e) for e in audit.having("error") if not (e.where in new and e.code in _OF_VOXELS))
    levels = _new_levels(image, wrong, new, metadata) if new or wrong else ()
    if not levels:
        return RebuildPlan(path, None, errors=errors)
    note = Note(levels, method or "mean", image.attributes["multiscales"][0]["datasets"])
    return RebuildPlan(path, note, _bytes_to_read(path, note), attributes=attributes, errors=errors)


def _check_place(path: AnyPath) -> None:
    """Make sure that there is one image, which can be changed in place."""
    images = list_images(path)
    if images and images[0].path:  # otherwise it is an image itself; its labels stay as they are
        raise RequestError(f"{path} holds {len(images)} images. Name one of them, such as {path}::{images[0].path}.")
    storage_of(path).check_change()
    check_state_folder(path)
    check_free(path)  # rather now than after all voxels were read
    if isinstance(path, Path) and not os.access(path, os.W_OK) and path.exists():
        raise RequestError(f"{path} cannot be written to.")
    attributes = read_attributes(path)
    if len(attributes.get("multiscales") or ()) > 1:
        raise RequestError("The group holds more than one image. Only levels of a group of one image can be rebuilt.")
    if (path / "zarr.json").is_file() and "multiscales" in (read_json(path / ".zattrs") or {}):
        raise RequestError(
            f"{path} lists its levels twice, in zarr.json and in .zattrs, for two versions of Zarr. Remove one of them."
        )
    check_parents(path)


def check_no_edit(path: AnyPath) -> None:
    """Make sure that no edit was interrupted: its end writes the list of levels that it began with."""
    if storage_of(path / EDIT).is_file():
        raise RequestError(
            f"An edit of the metadata of {path} was interrupted. Repeat it to complete it, then rebuild the levels."
        )


def _is_labels(path: AnyPath, attributes: dict[str, Any]) -> bool:
    """Whether it states so, or the group around it lists it as labels."""
    whole = path.resolve()
    return "image-label" in attributes or whole.name in listed_labels(read_attributes(whole.parent))


# Which levels


def _wrong(audit: Audit) -> set[str]:
    """The paths of levels with an error of their voxels or their array."""
    return {found.where for found in audit.having("error") if found.where and found.code in _OF_VOXELS}


def _check_finest(audit: Audit, finest: str) -> None:
    """Make sure that the finest level has all its files, as far as others tell."""
    codes = {found.code for found in audit.having("error") if found.where == finest} & _OF_VOXELS
    if codes == {"chunk-missing"}:
        raise SourceError(
            f"Level 0 ({finest}) has no files for some chunks where a coarser level has voxels: either these files are "
            "lost, or that level is wrong. If level 0 is right, remove the folders of the levels that are wrong, and "
            "rebuild again."
        )


def _vote(verdicts: Sequence[LevelVerdict], wrong: set[str], *, is_labels: bool) -> str:
    """The method of the levels that are right; if there is none, that of what is right in the others."""
    made = _MADE - _OF_NUMBERS if is_labels else _MADE
    for levels in (
        [level for level in verdicts if level.level not in wrong],
        verdicts,
    ):
        votes = Counter(level.method for level in levels if level.method in made)
        if votes:
            return votes.most_common(1)[0][0]
        if any(level.method == GAUSSIAN for level in levels):
            raise RequestError(
                "The other levels are smoothed copies, made in a way that cannot be told. Say how to make the new "
                "ones (", Advice("method", "mean"), ").",
            )  # fmt: skip
    return "mode" if is_labels else "mean"


def plan_of_ours(path: AnyPath, max_memory: str | int, threads: int | None) -> tuple[Plan, Record]:
    """The plan with which to read an output of this package, and its journal."""
    record = read_record(path)
    limits = ConversionOptions(chunks=(1, 1, 1), max_memory=parse_size(max_memory), threads=threads)
    return plan_of(path, record, None, limits)[0], record


def _wrong_of_ours(
    path: AnyPath, method: str | None, max_memory: str | int, threads: int | None
) -> Generator[Progress, None, tuple[set[str], str, tuple[str, ...]]]:
    """The levels of an output of this package that are not as they were written, the method, and what else is wrong.

    Verifying makes each level of level 0, and compares: a level that is right fits the new ones.
    """
    plan, record = plan_of_ours(path, max_memory, threads)
    if record.is_old:
        raise RequestError(
            f"An older version of this program made {path}. Convert the source again, or repair it from the source."
        )
    made_by = str(record.identity.get("method", "mean"))
    if method and method != made_by:
        raise RequestError(
            f"{path} was converted with the method {made_by}. To have all levels made by {method}, convert it again."
        )
    found = yield from iter_verification(path, None, repair=False, max_memory=max_memory, threads=threads)
    wrong = {str(problem.level) for problem in found.problems if problem.level is not None}
    for key, metadata in array_metadata(plan).items():
        level = key.rpartition("/")[0]
        try:
            same = read_json(path / key) == metadata
        except SourceError:
            same = False
        if level and not same:
            wrong.add(level)
    new = tuple(f"{level}/" for level in wrong)
    others = (p for p in found.problems if p.level is None and (p.is_stray or not p.what.startswith(new)))
    return wrong, made_by, tuple(map(str, others))


# How they are made


def _image(path: AnyPath, attributes: dict[str, Any]) -> Image:
    """The image with the attributes that were read before it was verified, as the rebuild expects to find them."""
    report = Report()
    image = read_image(path, attributes, report)
    if image is None or not image.levels:
        raise SourceError(f"The levels of {path} cannot be rebuilt: {report.findings[0]}.")
    return image


def _new_levels(image: Image, wrong: set[str], made: set[str], ours: dict[str, dict[str, Any]]) -> tuple[NewLevel, ...]:
    try:
        check_paths(image.attributes["multiscales"][0]["datasets"])
    except ValueError as error:
        raise RequestError(f"The levels of {image.path} cannot be rebuilt: {error}.") from error
    first = image.levels[0]
    if first.path in wrong or first.array is None:
        raise SourceError(
            f"Level 0 ({first.path}) itself is damaged, and the others are made from it. Verify shows what is damaged."
        )
    new: list[NewLevel] = []
    finer = first
    for level in image.levels[1:]:
        if level.path in made:
            if level.path in ours:
                level.metadata = ours[level.path]
            elif level.array is None:
                level.metadata = _metadata_of_missing(image, finer, level)
            new.append(_new_level(image, finer, level, first.array.dtype))
        finer = level
    return tuple(new)


def check_folders(path: AnyPath, note: Note) -> None:
    """Make sure that all folders of the new levels are this image's alone: a link may lead to level 0."""
    for level in note.levels:
        names = [level.path, *(str(part) for part in PurePosixPath(level.path).parents if part.name)]
        if any(has_multiscales(path / name) for name in names):
            raise RequestError(f"Level {level.path} is in the folder of another image.")
        if isinstance(path, Path):
            _check_tree([path / name for name in names], locator(path, level))


def _check_tree(folders: list[Path], locator: ChunkLocator) -> None:
    """Check a level's folder, those around it, and all that is in it, where chunks are to be written."""
    top = folders[0]
    below = ((Path(folder, name), name in names) for folder, names, files in os.walk(top) for name in names + files)
    for path, is_folder in itertools.chain(((folder, True) for folder in folders), below):
        key = path.relative_to(top).as_posix() if top in path.parents else ""
        if is_folder and path.is_symlink():
            raise RequestError(f"{path} is a link, and levels are not written through links.")
        if is_folder and path.exists() and not os.access(path, os.W_OK | os.X_OK):
            raise RequestError(f"{path} cannot be written to.")
        if is_folder and locator.has_file(key) and any(path.iterdir()):
            raise RequestError(f"{path} is a folder in the place of a chunk, and not empty. Move it away.")
        if not is_folder and locator.is_above_files(key):
            raise RequestError(f"{path} is a file in the place of a folder of chunks. Move it away.")


def _new_level(image: Image, finer: Level, level: Level, dtype: np.dtype) -> NewLevel:
    metadata = level.metadata
    assert metadata is not None
    same = len(finer.shape) == len(level.shape)
    factors = whole_factors(finer, level) if same else None
    if factors is None or not _fits_scale(finer, level):
        raise RequestError(
            f"Level {level.path} cannot be made from {finer.path}: its shape, {list(level.shape)}, is not that of "
            f"{finer.path}, {list(finer.shape)}, divided by whole numbers as its scale states. Convert the volume into "
            "a new OME-Zarr."
        )
    if level.dtype is not None and level.dtype.newbyteorder("=") != dtype.newbyteorder("="):
        raise RequestError(
            f"Level {level.path} has voxels of another type than {finer.path}. Convert the volume into a new OME-Zarr."
        )
    new = NewLevel(level.path, finer.path, factors, metadata)
    chunks = locator(image.path, new).shape
    try:  # a voxel of each file tells whether its codecs can be written, without the memory that a file takes
        encode_file(metadata, np.zeros([min(1, n) for n in chunks], dtype))
    except SourceError as error:
        raise RequestError(
            f"Level {level.path} cannot be written: {str(error).rstrip('.')}. Convert the volume into a new OME-Zarr."
        ) from error
    return new


def _fits_scale(finer: Level, level: Level) -> bool:
    if finer.scale is None or level.scale is None:
        return True
    ratios = (b / a for a, b in zip(finer.scale, level.scale, strict=True))
    return all(abs(m - n / r) < 1 + 1e-6 * n for n, m, r in zip(finer.shape, level.shape, ratios, strict=True))


def _metadata_of_missing(image: Image, finer: Level, level: Level) -> dict[str, Any]:
    """Those of the finer level, with the shape that the scales state: rounded as that of the levels that are there."""
    if finer.metadata is None or finer.scale is None or level.scale is None:
        raise RequestError(f"Level {level.path} is missing, and the metadata do not state how large it is.")
    ratios = [b / a for a, b in zip(finer.scale, level.scale, strict=True)]
    factors = [round(ratio) for ratio in ratios]
    if any(f < 1 or abs(f - ratio) > 1e-3 * ratio for f, ratio in zip(factors, ratios, strict=True)):
        raise RequestError(
            f"Level {level.path} is missing, and its voxels are not a whole number of times as large as those of "
            f"{finer.path}. Convert the volume into a new OME-Zarr."
        )
    rounds = math.floor if _rounds_down(image.levels) else math.ceil
    shape = [max(1, rounds(n / f)) for n, f in zip(finer.shape, factors, strict=True)]
    return {**finer.metadata, "shape": shape}


def _rounds_down(levels: Sequence[Level]) -> bool:
    """Whether levels leave out what is left over at their ends."""
    there = [level for level in levels if level.shape]
    for a, b in itertools.pairwise(there):
        factors = whole_factors(a, b) if len(a.shape) == len(b.shape) else None
        for n, m, f in zip(a.shape, b.shape, factors or (), strict=False):
            if n % f:
                return m == n // f
    return False


def _bytes_to_read(path: AnyPath, note: Note) -> int:
    """Of the finer levels."""
    itemsize = ZarrArray(path / note.datasets[0]["path"]).dtype.itemsize
    made = {level.path: level.metadata["shape"] for level in note.levels}
    shapes = [made.get(level.finer) or ZarrArray(path / level.finer).shape for level in note.levels]
    return itemsize * sum(map(math.prod, shapes))
