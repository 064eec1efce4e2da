"""Opens a DICOM file of many frames, or a folder of DICOM files with one slice each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from napari_ct_pyramid.calibration import Calibration
from napari_ct_pyramid.errors import SingleSliceError, SourceError, SourceNotFoundError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import VoxelSize
from napari_ct_pyramid.sources.base import Holds, VolumeReader
from napari_ct_pyramid.sources.decoding import JPEG_2000, jpeg_2000_bytes
from napari_ct_pyramid.sources.encoded_slices import EncodedSlices
from napari_ct_pyramid.sources.inputs import Input
from napari_ct_pyramid.sources.row_reader import FileHandles, FileVolumeReader, PlainRows, RowReader, is_swapped
from napari_ct_pyramid.sources.voxel_size import FoundVoxelSize, found_voxel_size, positive
from napari_ct_pyramid.storage.paths import INSIDE

from .detection import ENDINGS, is_dicom
from .frames import DicomFile, Frame, PixelStorage, Point, read_file
from .order import POSITION, in_order, name_of
from .pixels import UNCOMPRESSED, StoredBits, decoder_of, dtype_of

_AXES_OF_SPACE: Point = (1, 0, 0, 0, 1, 0)  # the direction of rows, and that of columns
_LISTED = 12  # series in a message, at most


def open_dicom(source: Input) -> VolumeReader:
    """Open a file that holds all slices as its frames.

    Raises
    ------
    SourceError
        If it has one slice, or cannot be read.
    """
    path = source.local_path
    file = read_file(path)
    if file is None:
        raise SourceError(f"{path} is a DICOM file without pixels. Try the folder that has the slices.")
    if len(file.frames) == 1:
        raise SingleSliceError(
            f"{path} is a single slice of a series, and a volume takes all of them. Try its folder, {path.parent}.",
            volume=str(path.parent),
        )
    return _open(path, source.stem, file.frames)


def look_at_dicom(path: Path) -> Holds:
    """Whether a file has the frames of a volume, or is one slice."""
    file = read_file(path)
    return "other" if file is None else "slice" if len(file.frames) == 1 else "volume"


def open_dicom_folder(source: Input) -> VolumeReader:
    """Open the series of slices in a folder.

    Raises
    ------
    SourceError
        If there are several series and none was named, a slice is missing, or one differs.
    """
    path = source.local_path
    where = path / source.pattern if source.pattern else path
    files = [file for file in map(read_file, _paths(path, source.pattern)) if file]
    if not files:
        raise SourceNotFoundError(f"{where} has no DICOM file with pixels. Try the folder that has the slices.")
    frames = _series(where, files, source.inside)
    if len(frames) == 1:
        raise SourceError(f"{where} has a single slice, {frames[0].path.name}, and a volume has two or more.")
    return _open(where, source.stem, frames)


def _paths(path: Path, pattern: str | None) -> list[Path]:
    """The DICOM files of a folder, by name."""
    found = []
    for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
        if entry.name.startswith(".") or not entry.is_file() or (pattern and not fnmatchcase(entry.name, pattern)):
            continue
        file = path / entry.name
        if is_dicom(file):
            found.append(file)
        elif pattern or file.suffix.lower() in ENDINGS:
            raise SourceError(f"{entry.name} in {path} is not a DICOM file. Try moving it elsewhere.")
    return found


def _series(where: Path, files: Sequence[DicomFile], asked: str | None) -> list[Frame]:
    """The frames of the only series, or of the one that is named by its number, UID or description."""
    series: dict[str, list[DicomFile]] = {}
    for file in files:
        series.setdefault(file.series, []).append(file)
    chosen = [
        group for uid, group in series.items() if asked is None or asked in (uid, group[0].number, group[0].description)
    ]
    if len(chosen) == 1:
        return [frame for file in chosen[0] for frame in file.frames]
    numbers = [group[0].number for group in series.values()]
    distinct = all(numbers) and len(set(numbers)) == len(numbers)
    names = numbers if distinct else list(series)
    groups = zip(names, series.values(), strict=True)
    some = [f"{name} ({_describe(group)})" for name, group in sorted(groups, key=lambda pair: pair[0])[:_LISTED]]
    more = f", and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    what = "none was named" if asked is None else f"{'none' if not chosen else 'more than one'} is {asked}"
    raise SourceError(
        f"{where} has {len(series):,} series, and {what}. Its series are {', '.join(some)}{more}. "
        f"Name one, as in {where.name}{INSIDE}{min(names)}."
    )


def _describe(files: Sequence[DicomFile]) -> str:
    slices = sum(len(file.frames) for file in files)
    storage = files[0].frames[0].storage
    title = f"{files[0].description}, " if files[0].description else ""
    return f"{title}{slices:,} × {storage.rows:,} × {storage.columns:,}"


def _open(where: Path, name: str, frames: Sequence[Frame]) -> VolumeReader:
    _check_alike(where, frames)
    ordered, distance, origin = in_order(where, frames)
    first = ordered[0]
    storage = first.storage
    files = list(dict.fromkeys(frame.path for frame in ordered))
    number_of = {path: number for number, path in enumerate(files)}
    file_of_slice = tuple(number_of[frame.path] for frame in ordered) if len(files) > 1 else None
    offsets = np.array([frame.offset for frame in ordered], np.int64)
    dtype = dtype_of(storage)
    rows, codec = _rows(where, ordered, offsets, file_of_slice, files)
    size = _voxel_size(first, distance, origin)
    volume = Volume(
        name=name,
        shape=(len(ordered), storage.rows, storage.columns),
        dtype=dtype,
        format=f"{len(files):,} DICOM files, one a slice" if len(files) > 1 else "DICOM file of many frames",
        compression=codec,
        voxel_size=size.voxel_size,
        unit=size.unit,
        voxel_size_from=size.origin,
        granularity=(1, 1 if codec == "none" else storage.rows, storage.columns),
        decoding_bytes=jpeg_2000_bytes((storage.rows, storage.columns)) if codec == JPEG_2000 else 0,
        notes=tuple(_notes(first, origin)),
        calibration=_calibration(first),
        translation=_translation(first) if size.voxel_size and origin == POSITION else (0.0, 0.0, 0.0),
    )
    reader = FileVolumeReader(volume, rows, files)
    unused = storage.stored < storage.allocated and codec == "none"
    return StoredBits(reader, storage) if unused else reader


def _translation(frame: Frame) -> VoxelSize:
    """Where the first voxel is along z, y, x, if the axes of the volume are those of space."""
    position = frame.place.position
    if frame.place.orientation != _AXES_OF_SPACE or position is None:
        return 0.0, 0.0, 0.0
    return position[2], position[1], position[0]


def _calibration(frame: Frame) -> Calibration | None:
    """What voxels stand for, in the unit that the rescale type names; None if they are the grey values themselves."""
    slope, intercept, kind = frame.scaling
    unit = kind.strip() if kind.strip() not in ("", "US") else None  # US: unspecified
    return Calibration(slope, intercept, unit) if (slope, intercept, unit) != (1, 0, None) else None


def _notes(frame: Frame, origin: str | None) -> Iterator[str]:
    if frame.storage.photometric == "MONOCHROME1":
        yield "The scanner meant small values to be shown bright (MONOCHROME1). The voxels are as they are stored."
    if origin != POSITION:
        yield "The slices do not state where they are: their order is that of their instance numbers or frames."


def _check_alike(where: Path, frames: Sequence[Frame]) -> None:
    first = frames[0]
    for frame in frames:
        if frame.storage != first.storage:
            ours, theirs = _difference(frame.storage, first.storage)
            raise SourceError(
                f"{name_of(frame)} in {where} has {ours}, but {name_of(first)} has {theirs}. The slices of a volume "
                "must all be alike: try moving those that differ elsewhere."
            )
        if frame.place.spacing != first.place.spacing:
            raise SourceError(
                f"{name_of(frame)} in {where} has pixels of another size than {name_of(first)} has. Try moving the "
                "slices that differ elsewhere."
            )
        if frame.scaling != first.scaling:
            raise SourceError(
                f"{name_of(frame)} in {where} has another rescale slope or intercept than {name_of(first)} has, so "
                "that equal voxels do not mean equal grey values. Try exporting the series with one for all slices."
            )


def _difference(ours: PixelStorage, theirs: PixelStorage) -> tuple[str, str]:
    if ours[:2] != theirs[:2]:
        return f"{times(ours[:2])} pixels", f"{times(theirs[:2])} pixels"
    name = next(name for name in ours._fields if getattr(ours, name) != getattr(theirs, name))
    return f"{getattr(ours, name)} as its {name}", str(getattr(theirs, name))


def _rows(
    where: Path, frames: Sequence[Frame], offsets: np.ndarray, file_of_slice: tuple[int, ...] | None, files: list[Path]
) -> tuple[RowReader, str]:
    """What reads the rows, and the name of the codec."""
    storage = frames[0].storage
    dtype = dtype_of(storage)
    if storage.syntax in UNCOMPRESSED:
        swap = is_swapped(dtype.newbyteorder(">" if storage.syntax == UNCOMPRESSED[2] else "<"))
        return PlainRows(offsets[:, None], storage.rows, storage.columns * dtype.itemsize, swap, file_of_slice), "none"
    decoder = decoder_of(storage)
    if decoder is None:
        raise SourceError(
            f"{where} is compressed with transfer syntax {storage.syntax}, which cannot be decoded. Try exporting it "
            "without compression."
        )
    codec, decode = decoder
    counts = np.array([frame.count for frame in frames], np.int64)
    rows = EncodedSlices(offsets, counts, (storage.rows, storage.columns), dtype, decode, file_of_slice)
    handles = FileHandles(files)
    try:
        rows.image(handles, 0)  # a frame that cannot be decoded is found now, not in the middle of a conversion
    finally:
        handles.close()
    return rows, codec


def _voxel_size(frame: Frame, distance: float | None, origin: str | None) -> FoundVoxelSize:
    if frame.place.spacing is None or distance is None:
        return FoundVoxelSize()
    y, x = frame.place.spacing
    return found_voxel_size(
        [positive(distance), positive(y), positive(x)], ["millimeter"] * 3, f"DICOM PixelSpacing and {origin}"
    )
