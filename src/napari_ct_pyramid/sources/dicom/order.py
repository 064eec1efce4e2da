"""The order of frames in space, and the distance between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.sources.voxel_size import shortest

from .frames import Frame

POSITION = "ImagePositionPatient"
"""What gives the order of slices and their distance, if they state it."""

_SLACK = 0.25  # of the distance of two slices: positions are rounded, but no slice is that far from its place
_PARALLEL = 1e-3  # orientations that differ more are not those of parallel slices
_EXACT = 1e-7  # of a distance: it is computed from positions, which are rounded


def in_order(where: Path, frames: Sequence[Frame]) -> tuple[list[Frame], float | None, str | None]:
    """The frames from the first slice to the last one.

    The position of a frame is that of its first pixel along the normal of the slices: PS3.3, C.7.6.2.1.1.

    Returns
    -------
    frames : list of Frame
    distance : float or None
        From slice to slice, in millimeters; None where the files do not state it.
    origin : str or None
        What states the distance.

    Raises
    ------
    SourceError
        If a slice is missing, two are at the same position, or their order is unknown.
    """
    positions = [frame.place.position for frame in frames]
    orientations = [frame.place.orientation for frame in frames]
    if any(position is None for position in positions) or any(value is None for value in orientations):
        return _by_number(where, frames)
    directions = np.array(orientations, float)
    if np.abs(directions - directions[0]).max() > _PARALLEL:
        odd = int(np.argmax(np.abs(directions - np.median(directions, axis=0)).max(axis=1)))
        raise SourceError(
            f"{name_of(frames[odd])} in {where} lies in another direction than the other slices do. Try moving it "
            "elsewhere: an overview of the scan is no slice of the volume."
        )
    normal = np.cross(directions[0][:3], directions[0][3:])
    along = np.array(positions, float) @ normal / (np.linalg.norm(normal) or 1)
    if not np.ptp(along):  # some programs write the same position everywhere
        return _by_number(where, frames)
    order = np.argsort(along, kind="stable")
    ordered = [frames[i] for i in order]
    along = along[order]
    distance = (along[-1] - along[0]) / (len(along) - 1)
    _check_steps(where, ordered, along)
    return ordered, shortest(float(distance), _EXACT), POSITION


def _check_steps(where: Path, frames: Sequence[Frame], along: np.ndarray) -> None:
    """All slices must have the same distance from the next one."""
    steps = np.diff(along)
    usual = float(np.median(steps))
    twice = int(np.argmin(steps))
    if steps[twice] <= _SLACK * usual or usual <= 0:
        raise SourceError(
            f"{name_of(frames[twice])} and {name_of(frames[twice + 1])} in {where} are at the same position. Try "
            "moving one of them elsewhere, or exporting one volume alone."
        )
    even = along[0] + np.arange(len(along)) * (along[-1] - along[0]) / (len(along) - 1)
    if np.abs(along - even).max() <= _SLACK * usual:
        return
    gap = int(np.argmax(steps))
    lost = round(float(steps[gap]) / usual) - 1
    missing = f"{lost:,} slice{'s are' if lost > 1 else ' is'} missing" if lost > 0 else "the distance differs"
    raise SourceError(
        f"{missing[0].upper()}{missing[1:]} in {where} between {name_of(frames[gap])} and {name_of(frames[gap + 1])}: "
        f"they are {steps[gap]:g} mm apart, where others are {usual:g} mm apart. Try "
        "copying or exporting the series again."
    )


def _by_number(where: Path, frames: Sequence[Frame]) -> tuple[list[Frame], float | None, str | None]:
    """The order of frames that have no position: that of the instance numbers, or within the one file."""
    if len({frame.path for frame in frames}) > 1:
        numbers = [frame.instance for frame in frames]
        if any(number is None for number in numbers) or len({frame.path for frame in frames}) < len(frames):
            raise SourceError(
                f"The files in {where} state neither where their slices are nor their order. Try exporting the series "
                "again, or as TIFFs."
            )
        frames = sorted(frames, key=lambda frame: frame.instance or 0)
        _check_numbers(where, frames)
    between = {frame.place.between for frame in frames}
    distance = between.pop() if len(between) == 1 else None
    known = distance is not None and distance > 0
    return list(frames), distance if known else None, "SpacingBetweenSlices" if known else None


def _check_numbers(where: Path, frames: Sequence[Frame]) -> None:
    numbers = [frame.instance or 0 for frame in frames]
    steps = np.diff(numbers)
    if (steps == 0).any():
        at = int(np.argmin(steps))
        raise SourceError(
            f"{name_of(frames[at])} and {name_of(frames[at + 1])} in {where} have the same instance number. Try moving "
            "one of them elsewhere."
        )
    if (steps != steps[0]).any():
        at = int(np.argmax(steps))
        raise SourceError(
            f"A slice is missing in {where} between {name_of(frames[at])} and {name_of(frames[at + 1])}: their "
            f"instance numbers are {numbers[at]} and {numbers[at + 1]}. Try copying or exporting the series again."
        )


def name_of(frame: Frame) -> str:
    """A frame, for messages."""
    return f"frame {frame.number + 1} of {frame.path.name}" if frame.number else frame.path.name
