"""Sets voxel size, unit, name and display window right in a finished OME-Zarr, without converting again.

Only files with metadata change, one after another, each in one step. If that is interrupted at any point, every file is
as it was before or as it is meant to be, `verify` accepts both, and the next edit completes it. Where several files
change, a note in the image holds all of them until they are written. The image's own file is the last one, after those
of its labels and the copies of all metadata: until it is written, the image is as it was.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from napari_ct_pyramid.errors import (
    Advice,
    ConversionError,
    CtPyramidError,
    RequestError,
    SourceError,
    UnfinishedError,
)
from napari_ct_pyramid.omezarr.coordinate_systems import has_systems
from napari_ct_pyramid.omezarr.documents import (
    CONSOLIDATED,
    check_parents,
    read_group,
    replace_document,
    with_attributes,
    with_copies,
)
from napari_ct_pyramid.omezarr.edit import Facts, edit_attributes, finest_voxel, image_in, read_facts
from napari_ct_pyramid.omezarr.kind import EDIT, is_being_rebuilt, is_group
from napari_ct_pyramid.omezarr.reader import open_pyramid
from napari_ct_pyramid.omezarr.versions import numbers_of
from napari_ct_pyramid.options import parse_window
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.lock import check_free, check_state_folder, hold
from napari_ct_pyramid.storage.paths import STATE_FOLDER, AnyPath, PathLike, any_path
from napari_ct_pyramid.storage.sealed import seal, unseal
from napari_ct_pyramid.units import parse_unit, parse_voxel_size

from .public import public
from .receipt import begin_edit, finish_edit
from .unfinished import explained

_VERSIONS = ((0, 4), (0, 5), (0, 6))


@dataclass(frozen=True)
class Edit:
    """A change of the metadata of an OME-Zarr.

    Attributes
    ----------
    path : Path or RemotePath
    before, after : Facts
        Voxel size, unit, name and display window.
    labels : tuple of str
        The labels of the image whose voxel size or unit changes, too.
    """

    path: AnyPath
    before: Facts
    after: Facts
    labels: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {
            "path": str(self.path),
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "labels": list(self.labels),
        }


@public
def edit(
    path: PathLike,
    *,
    voxel_size: str | float | Sequence[float] | None = None,
    unit: str | None = None,
    name: str | None = None,
    window: str | Sequence[float] | None = None,
) -> Edit:
    """Set voxel size, unit, name or display window right in a finished OME-Zarr. No voxel is read or written.

    Scale and translation of every level follow the voxel size, and so do those of the image's labels. The receipt
    notes the change, so that `verify` accepts it.

    Parameters
    ----------
    path : path
        An OME-Zarr 0.4, 0.5 or 0.6, made by any program.
    voxel_size : str, float or sequence of float, optional
        One number, or three along z, y, x: of the finest level. A text may have the unit: ``"650 nm"``.
    unit : str, optional
        The unit of the voxel size, such as ``"micrometer"`` or ``"µm"``. Without a voxel size it replaces the unit,
        and leaves the numbers.
    name : str, optional
        The name of the image.
    window : str or sequence of float, optional
        The stored values that are shown as black and as white.

    Returns
    -------
    Edit
        The facts before and after.

    Raises
    ------
    SourceError
        If it is not such an OME-Zarr, or unfinished (`UnfinishedError`).
    RequestError
        If a value makes no sense, or cannot be set in this OME-Zarr, or its folder cannot be written to. Nothing was
        written.
    OutputBusyError
        If another process writes to it. Nothing was written.
    ConversionError
        If the disk or the store failed. The same edit completes it.
    """
    place, changes = any_path(path), _changes(voxel_size, unit, name, window)
    with explained(f"{path} could not be edited"):
        try:
            open_pyramid(place)  # raises a better error than the lock if it is no image,
        except UnfinishedError:
            check_free(place)
            raise
        storage_of(place).check_change()  # or in a place that is only read
        with hold(place):
            _check_not_rebuilt(place)
            _complete(place)
            prepared = _prepare(place, changes)
            _write(prepared)
    return prepared.edit


@public
def plan_edit(
    path: PathLike,
    *,
    voxel_size: str | float | Sequence[float] | None = None,
    unit: str | None = None,
    name: str | None = None,
    window: str | Sequence[float] | None = None,
) -> Edit:
    """State what `edit` would change. Writes nothing.

    Parameters
    ----------
    path : path
    voxel_size : str, float or sequence of float, optional
    unit : str, optional
    name : str, optional
    window : str or sequence of float, optional
        As for `edit`.

    Returns
    -------
    Edit
        The facts before and after. Errors are those of `edit`.
    """
    return _prepare(any_path(path), _changes(voxel_size, unit, name, window)).edit


@dataclass(frozen=True)
class _Prepared:
    """An edit, and all that it needs to write.

    Attributes
    ----------
    edit : Edit
    changes : Facts
    documents : tuple of (str, dict)
        Metadata files, relative to the image, and their new contents, in the order in which they are written.
    """

    edit: Edit
    changes: Facts
    documents: tuple[tuple[str, dict[str, Any]], ...]


def _changes(voxel_size: Any, unit: Any, name: Any, window: Any) -> Facts:
    """The facts to set, checked as far as that is possible without the image."""
    asked = None if unit is None else parse_unit(unit)
    size, stated = (None, None) if voxel_size is None else parse_voxel_size(voxel_size)
    if asked and stated and asked != stated:
        raise RequestError(f"The voxel size is in {stated}, and the unit that was asked for is {asked}. Leave one out.")
    if name is not None and not (isinstance(name, str) and name.strip() and name.isprintable()):
        raise RequestError(f"{name!r} is not a name for an image. It takes text of one line.")
    limits = None if window is None else parse_window(window)
    if isinstance(limits, str):
        raise RequestError("A window takes two numbers here: the stored values that are shown as black and as white.")
    changes = Facts(size, asked or stated, None if name is None else name.strip(), limits)
    if changes == Facts():
        raise RequestError(
            "There is nothing to change. Give a voxel size (", Advice("voxel_size"), "), a unit (", Advice("unit"),
            "), a name (", Advice("name"), ") or a window (", Advice("window"), ").",
        )  # fmt: skip
    return changes


def _prepare(path: AnyPath, changes: Facts) -> _Prepared:
    """All that an edit writes, without writing it."""
    try:
        return _prepared(path, changes)
    except CtPyramidError:
        raise
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise SourceError(f"{path} cannot be edited: its metadata is broken ({error}).") from error


def _prepared(path: AnyPath, changes: Facts) -> _Prepared:
    pyramid = open_pyramid(path)
    _check_not_rebuilt(path)
    multiscales = pyramid.metadata["multiscales"]
    if numbers_of(pyramid.ome_zarr_version) not in _VERSIONS or not all(
        isinstance(a, dict) for a in multiscales[0].get("axes", () if has_systems(multiscales[0]) else "-")
    ):
        raise RequestError(f"The image is of OME-Zarr {pyramid.ome_zarr_version}. Only 0.4 to 0.6 can be edited.")
    if len(multiscales) > 1:
        raise RequestError("The group holds more than one image. Only a group of one image can be edited.")
    check_parents(path)
    file, document, attributes = read_group(path)
    before = read_facts(attributes)
    if changes.voxel_size and not (changes.unit or before.unit):
        raise RequestError(
            "The image has no unit, so the voxel size needs one. Give it (", Advice("unit", "micrometer"), ")."
        )
    finest = finest_voxel(attributes) if changes.voxel_size else None
    edited = edit_attributes(attributes, changes, finest)
    documents = {}
    labels = tuple(_labels(path)) if changes.voxel_size or changes.unit else ()
    place = Facts(changes.voxel_size, changes.unit)
    for label in labels:
        key = f"labels/{label}"
        open_pyramid(path / key)
        _check_not_rebuilt(path / key)
        own_file, own_document, attributes = read_group(path / key)
        if changes.voxel_size:
            _check_labels(attributes, label, before)
        attributes = edit_attributes(attributes, place, finest)
        documents[f"{key}/{own_file}"] = with_attributes(own_document, own_file, attributes)
    documents[file] = with_attributes(document, file, edited)
    return _Prepared(Edit(path, before, read_facts(edited), labels), changes, with_copies(path, documents))


def _write(prepared: _Prepared) -> None:
    path = prepared.edit.path
    if isinstance(path, Path) and not os.access(path, os.W_OK):
        raise RequestError(f"{path} cannot be written to: {os.strerror(errno.EACCES)}.")
    check_state_folder(path)
    try:
        begin_edit(path, prepared.changes)
        if len(prepared.documents) > 1:
            (path / STATE_FOLDER).mkdir(exist_ok=True)
            storage_of(path / EDIT).replace(seal({"documents": prepared.documents}))
        _write_documents(path, prepared.documents)
        finish_edit(path)
    except OSError as error:
        raise _incomplete(path, error) from error


def _incomplete(path: AnyPath, error: OSError) -> ConversionError:
    return ConversionError(
        f"{path} could not be edited completely: {error.strerror or error}. The same edit completes it."
    )


def _write_documents(path: AnyPath, documents: Iterable[tuple[str, dict[str, Any]]]) -> None:
    for key, document in documents:
        replace_document(path / key, document)
    (path / EDIT).unlink(missing_ok=True)
    if isinstance(path, Path):
        with suppress(OSError):  # it holds more in an output of this program, and is not there if one file changed
            (path / STATE_FOLDER).rmdir()


def _complete(path: AnyPath) -> None:
    """Complete an edit that was interrupted."""
    try:
        documents = [(key, dict(document)) for key, document in unseal(storage_of(path / EDIT).read())["documents"]]
        if not {key for key, _ in documents} <= _files(path):
            raise ValueError("it names files that are not part of the image")
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"{path / EDIT}, the note of an interrupted edit, cannot be used: {error}. Remove it, and try again."
        ) from error
    try:
        _write_documents(path, documents)
    except OSError as error:
        raise _incomplete(path, error) from error


def _files(path: AnyPath) -> set[str]:
    """All files that an edit can write."""
    folders = ["", "labels/", *(f"labels/{label}/" for label in _labels(path))]
    return {folder + name for folder in folders for name in (".zattrs", "zarr.json", CONSOLIDATED)}


def _check_not_rebuilt(path: AnyPath) -> None:
    """Make sure that no levels are being rebuilt: the end of that writes the metadata that it began with."""
    if is_being_rebuilt(path):
        raise RequestError(
            f"A rebuild of the levels of {path.name} is under way, or was interrupted. Rebuild them again to complete "
            "it, then edit."
        )


def _labels(path: AnyPath) -> Iterator[str]:
    """The names of the labels of an image: https://ngff.openmicroscopy.org/0.4/#labels-md."""
    if not is_group(path / "labels"):
        return
    for label in image_in(read_group(path / "labels")[2]).get("labels") or ():
        if not isinstance(label, str) or not set(PurePosixPath(label).parts).isdisjoint(("..", "/")):
            raise SourceError(f"{path} names labels that do not lie in it: {label!r}.")
        if is_group(path / "labels" / label):
            yield label


def _check_labels(attributes: dict[str, Any], label: str, image: Facts) -> None:
    """Make sure that the voxel size of labels can follow that of their image."""
    finest_voxel(attributes)
    unit = read_facts(attributes).unit
    if unit and unit != image.unit:
        raise RequestError(f"The labels {label} are in {unit}, and the image is not. Edit the labels first.")
