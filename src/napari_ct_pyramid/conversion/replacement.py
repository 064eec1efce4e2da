"""Begins an output, and replaces what is there. Only what a conversion or an image consists of is ever removed.

On a disk, the new output is begun beside the old one, the old one is moved aside in one step, the new one takes its
place, and only then is the old one removed. If the program is killed in between, the next one puts the old output back,
or removes what is left of it (`recover`).

An object store cannot rename. There, the metadata that make the old output an image are removed first, then the new
journal is written, and then the old chunks are removed. A note in the output states what is to be removed. If one of
these steps fails before the old chunks are removed, the old journal and metadata are put back.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from napari_ct_pyramid.errors import RESUME, Advice, ConversionError, OutputExistsError, RequestError, SourceError
from napari_ct_pyramid.model.formatting import first_names
from napari_ct_pyramid.omezarr.contents import (
    REPLACED,
    Contents,
    contents_of,
    read_replaced,
    strays,
)
from napari_ct_pyramid.omezarr.journal import Record, read_journal, write_journal
from napari_ct_pyramid.omezarr.kind import GROUP_FILE_NAMES, JOURNAL, is_published, unpublish
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.lease import end_trial
from napari_ct_pyramid.storage.own_names import beside
from napari_ct_pyramid.storage.paths import STATE_FOLDER, AnyPath
from napari_ct_pyramid.storage.remote_path import RemotePath
from napari_ct_pyramid.storage.sealed import seal
from napari_ct_pyramid.storage.store_lock import is_store_lock

_JOURNAL_NAME = Path(JOURNAL).name
_NEW_JOURNAL = f"{_JOURNAL_NAME}.new"  # while it is written


def is_empty(output: AnyPath) -> bool:
    """Whether it is a folder without content, or with what a conversion leaves that is killed right at the start."""
    if not isinstance(output, Path):
        return all(is_store_lock(key) for key, _ in storage_of(output).files_below())
    try:
        with os.scandir(output) as entries:
            return all(entry.name == STATE_FOLDER and _holds(Path(entry.path), _NEW_JOURNAL) for entry in entries)
    except OSError:
        return False


def _holds(folder: Path, *names: str) -> bool:
    """Whether a folder holds nothing but files of these names."""
    return {entry.name for entry in os.scandir(folder)} <= set(names)


def check_replaceable(output: AnyPath, record: Record | None) -> None:
    """Make sure that an output consists only of what a conversion wrote, or of the files of an OME-Zarr image.

    Parameters
    ----------
    output : path
    record : Record or None
        The content of its journal.

    Raises
    ------
    OutputExistsError
        If something else is in it. The error names it.
    """
    target = output.resolve()
    if not target.is_dir():
        raise OutputExistsError(
            f"The output {output} exists already and is not an OME-Zarr. It is left alone: choose another name.",
            replaceable=False,
        )
    try:
        found = strays(target, contents_of(target, record))
    except SourceError:
        names = sorted(path.name for path in target.iterdir())
        raise OutputExistsError(
            f"The output {output} exists already and is not an OME-Zarr image: it holds {first_names(names)}. It is "
            "left alone: choose another name.",
            replaceable=False,
        ) from None
    if found:
        raise OutputExistsError(
            f"The output {output} exists already, with files that are not part of the image: {first_names(found)}. "
            "It is left alone: move them away, or choose another name.",
            replaceable=False,
        )
    locked = [] if isinstance(target, RemotePath) else _locked_folders(target)
    if locked:
        raise OutputExistsError(
            f"The output {output} exists already, and {locked[0]} in it cannot be written to. Choose another name.",
            replaceable=False,
        )


def _locked_folders(target: Path) -> list[str]:
    return [below for below, _, _ in os.walk(target) if not os.access(below, os.W_OK | os.X_OK)]


def begin_output(output: AnyPath, record: Record) -> Record:
    """Begin an output with a new journal, in place of what is there. The caller holds the output's lock.

    Parameters
    ----------
    output : path
        Nothing, or something that `check_replaceable` allows to replace.
    record : Record
        Of the new conversion.

    Returns
    -------
    Record
        As it was written.

    Raises
    ------
    RequestError
        If it cannot be made. Then nothing was changed.
    ConversionError
        If it has begun, but the old output could not be removed completely, or not be put back. The error states what
        is left, and where.
    """
    existed = True
    try:
        if isinstance(output, RemotePath):
            return _replace_in_store(output, record)
        target = output.resolve()
        if target.exists() and not is_empty(target):
            return _replace(target, record)
        existed = False
        return _begin(target, record)
    except OSError as error:
        if not existed and target.exists() and not is_empty(target):
            raise ConversionError(
                f"The output {output} could not be begun: {error.strerror}. What is left of it could not be removed; ",
                Advice(RESUME),
                ".",
            ) from error
        raise RequestError(f"The output {output} cannot be made: {error.strerror}. Choose another place.") from error


def recover(output: AnyPath) -> None:
    """Finish or undo a replacement that was interrupted. The caller holds the output's lock.

    Raises
    ------
    OutputExistsError
        If what is left of it holds files that are not part of an image, or another has made what has its names.
    ConversionError
        If what is left of it cannot be removed.
    """
    if isinstance(output, RemotePath):
        _finish_in_store(output)
        return
    target, new, old = output.resolve(), beside(output, "new"), beside(output, "old")
    for hidden in (new, old):
        if hidden.is_symlink():
            raise OutputExistsError(
                f"{hidden} is a link in the place of a folder that this program needs. Remove the link, and try again.",
                replaceable=False,
            )
    end_trial(beside(output, "trial"))
    if new.exists() and not _is_only_begun(new):
        raise _in_the_way(new, target)
    if old.exists():
        # Whoever replaces begins the new output before the old one is moved, and makes no block before it is removed.
        if not target.exists() and (new / JOURNAL).is_file():
            old.rename(target)
        elif is_empty(old) or _has_no_blocks(target):
            _remove_old(old)
        else:
            raise _in_the_way(old, target)
    _discard(new)


def _is_only_begun(folder: Path) -> bool:
    """Whether a folder holds what `_begin` makes, and nothing else."""
    state = folder / STATE_FOLDER
    try:
        return _holds(folder, STATE_FOLDER) and (not state.exists() or _holds(state, _JOURNAL_NAME, _NEW_JOURNAL))
    except OSError:
        return False


def _has_no_blocks(target: Path) -> bool:
    """Whether an output has begun, and nothing more."""
    record = read_journal(target)
    return record is not None and not record.done and not is_published(target)


def _in_the_way(folder: Path, target: Path) -> OutputExistsError:
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    return OutputExistsError(
        f"{folder} is in the way: this program uses that name while it replaces {target.name}, and did not make what "
        f"is there{f': {first_names(names)}' if names else ''}. Move it to another name, and try again.",
        replaceable=False,
    )


def _begin(folder: Path, record: Record) -> Record:
    """Make a folder that holds a journal and nothing else. If that fails, there is none."""
    exists = folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        storage_of(folder.parent).sync_folder()
        (folder / STATE_FOLDER).mkdir(exist_ok=True)
        storage_of(folder).sync_folder()
        return write_journal(folder, record)
    except OSError:
        if not exists:
            _discard(folder)
        raise


def _discard(begun: Path) -> None:
    """Remove a folder that `_begin` made."""
    with suppress(OSError):
        storage_of(begun).remove(lambda key: key.startswith(f"{STATE_FOLDER}/"))


def _replace(target: Path, record: Record) -> Record:
    new, old = beside(target, "new"), beside(target, "old")
    _discard(new)
    begun = _begin(new, record)
    try:
        target.rename(old)
    except OSError:
        _discard(new)
        raise
    try:
        new.rename(target)
    except OSError as error:
        try:
            old.rename(target)
        except OSError:
            raise ConversionError(
                f"The output {target} cannot be made: {error.strerror}. The volume that it should replace is in the "
                f"folder {old} now. The next conversion into this output puts it back."
            ) from error
        _discard(new)
        raise
    with suppress(OutputExistsError):  # the next conversion reports it
        _remove_old(old)
    return begun


def _remove_old(old: Path) -> None:
    """Remove an output that was moved aside, but nothing else that is in its folder."""
    try:
        storage_of(old.parent).sync_folder()  # the name of the new one is safe before the old one is removed
        try:
            contents = contents_of(old, read_journal(old))
        except SourceError as error:
            if is_published(old):
                raise OSError(errno.EIO, "its metadata cannot be read", str(old)) from error
            contents = Contents({})  # its metadata are removed already, and nothing but empty folders is left
        _remove(old, contents)
        left = strays(old, Contents({})) if old.exists() else []
    except OSError as error:
        raise ConversionError(
            f"The output that is replaced could not be removed completely: {error.strerror or error}. What is left of "
            f"it is in the folder {old}. The new one has begun, and is unfinished; ",
            Advice(RESUME),
            ".",
        ) from error
    if left:
        raise OutputExistsError(
            f"The folder {old} is what is left of an output that was overwritten, with files that are not part of the "
            f"image: {first_names(left)}. Move it away, and try again.",
            replaceable=False,
        )


def _remove(output: AnyPath, contents: Contents, *, kept: Callable[[str], bool] = lambda _: False) -> None:
    """Remove what belongs to an image. What tells the rest from other files goes last, in case this is interrupted."""
    storage = storage_of(output)
    storage.remove(contents.hold_chunk)
    storage.remove(lambda key: contents.hold(key) and "/" in key and not key.startswith(f"{STATE_FOLDER}/"))
    storage.remove(lambda key: contents.hold(key) and not kept(key))


def _replace_in_store(output: RemotePath, record: Record) -> Record:
    before = read_journal(output)
    replaces = before is not None or is_published(output)
    old = {path: _content(path) for path in (output / JOURNAL, *(output / name for name in GROUP_FILE_NAMES))}
    try:
        if replaces:
            note = {"arrays": list(contents_of(output, before).arrays), "identity": record.identity}
            storage_of(output / REPLACED).replace(seal(note))
            unpublish(output)
        begun = write_journal(output, record)
    except OSError as error:
        _put_back(output, old, error)
        raise
    if replaces:
        _finish_in_store(output)
    return begun


def _put_back(output: RemotePath, old: dict[RemotePath, bytes | None], error: OSError) -> None:
    """Put back the objects of an output that could not be begun, the journal first.

    A request whose answer is an error may have been carried out all the same: what is there now is read.
    """
    try:
        for path, data in {**old, output / REPLACED: None}.items():
            if _content(path) == data:
                continue
            if data is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(data)
    except OSError:
        raise ConversionError(
            f"The output {output} could not be begun: {error.strerror or error}. What was there before could not be "
            "put back. Convert again."
        ) from error


def _content(path: RemotePath) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _finish_in_store(output: RemotePath) -> None:
    """Remove what a conversion replaces that has begun."""
    try:
        replaced = read_replaced(output)
        record = read_journal(output) if replaced else None
        if record and record.identity == replaced["identity"] and not is_published(output):
            _remove(
                output, contents_of(output, None), kept=lambda key: key in (JOURNAL, REPLACED) or is_store_lock(key)
            )
        if record or is_published(output):
            (output / REPLACED).unlink(missing_ok=True)
    except OSError as error:
        raise ConversionError(
            f"What {output} should replace could not be removed completely: {error.strerror or error}. The output is "
            "unfinished; ",
            Advice(RESUME),
            ".",
        ) from error
