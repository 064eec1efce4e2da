"""The identity of a conversion: its source, its options, and its blocks. Two that are equal make the same output."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from napari_ct_pyramid.model.formatting import numbers, shorten, times
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.version import __version__
from napari_ct_pyramid.omezarr.checksums import crc32
from napari_ct_pyramid.options import ConversionOptions
from napari_ct_pyramid.sources.base import Source

OPTIONS = (
    "chunks", "num_levels", "dtype", "window", "method", "downsample", "edges", "compressor", "ome_zarr_version",
    "shards", "voxel_size", "unit", "axes", "crop", "channel",
    "time", "follow_links", "calibration", "raw_shape", "raw_dtype", "raw_offset",
)  # fmt: skip
"""The options on which the output depends, as the identity names them."""


@dataclass(frozen=True)
class Fingerprint:
    """Values by which a changed source is recognized.

    Attributes
    ----------
    size : int
        Of all its files, in bytes.
    modified : str or None
        When one of them was last changed: ISO 8601, in UTC. None if it has no files.
    sample : int
        Checksum of a sample of its voxels.
    files : int
        Checksum of the sizes and times of all its files: where one of many slices is another one, the total size and
        the latest time can be the same.
    in_memory : str or None
        Of a source without files, which cannot be recognized later: a text that no other has.
    """

    size: int
    modified: str | None
    sample: int
    files: int = 0
    in_memory: str | None = None


def fingerprint(source: Source, sample: int) -> Fingerprint:
    """The fingerprint of a source.

    Raises
    ------
    OSError
        If a file is gone.
    """
    if source.in_memory:
        return Fingerprint(source.volume.nbytes, None, sample, in_memory=source.in_memory)
    stats = [file.stat() for file in source.files]
    modified = datetime.fromtimestamp(max(stat.st_mtime_ns for stat in stats) // 1_000_000 / 1000, UTC)
    return Fingerprint(
        sum(stat.st_size for stat in stats),
        modified.isoformat(timespec="milliseconds"),
        sample,
        crc32(np.array([(stat.st_size, stat.st_mtime_ns) for stat in stats], "<i8")),
    )


def identify(plan: Plan, source: Fingerprint) -> dict[str, Any]:
    """All that the output depends on, as JSON values."""
    return {
        "version": __version__,
        "source": plan.volume.name,
        "size": source.size,
        "modified": source.modified,
        "sample": source.sample,
        "files": source.files,
        **({"in_memory": source.in_memory} if source.in_memory else {}),
        "shape": list(plan.volume.shape),
        "source_dtype": plan.volume.dtype.str,
        "grain": [*plan.volume.granularity, *plan.volume.granularity_start],
        "chunks": list(plan.options.chunks),
        "num_levels": len(plan.levels),
        "dtype": plan.options.dtype,
        "window": [plan.rescale.low, plan.rescale.high]
        if plan.rescale
        else None,  # the values, also of an automatic one
        "method": plan.options.method,
        "downsample": numbers(plan.options.downsample) if plan.options.downsample else "auto",
        "edges": plan.options.edges,
        "compressor": plan.options.compressor,
        "ome_zarr_version": plan.options.ome_zarr_version,
        "shards": list(plan.options.shards) if isinstance(plan.options.shards, tuple) else plan.options.shards,
        "voxel_size": list(plan.voxel_size) if plan.voxel_size else None,
        "unit": plan.unit,
        "axes": plan.options.axes,
        "crop": [list(part) for part in plan.options.crop] if plan.options.crop else None,
        "channel": plan.options.channel,
        "time": plan.options.time,
        "follow_links": plan.options.follow_links or None,  # as in the journals of releases without this option
        "calibration": str(plan.options.calibration) if plan.options.calibration else None,
        "raw_shape": list(plan.options.raw_shape) if plan.options.raw_shape else None,
        "raw_dtype": plan.options.raw_dtype,
        "raw_offset": plan.options.raw_offset or None,
        "stages": [[stage.base, stage.top, *stage.block] for stage in plan.stages],
    }


def asked_options(identity: dict[str, Any]) -> ConversionOptions:
    """The options of a conversion with this identity."""
    return ConversionOptions(**{name: identity[name] for name in OPTIONS if name in identity})


def other_options(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The options of `before` that differ from those of `now`; none if anything else differs, too."""
    different = {key for key in _NAMES if before.get(key) != now.get(key)}
    if not different <= {*OPTIONS, "stages"}:  # the blocks follow from the options
        return {}
    return {name: before.get(name) for name in OPTIONS if name in different}


_LONGEST = 60  # characters of a value in a message

_NAMES = {
    "version": "the version of this program",
    "source": "the source's name",
    "size": "the source's size in bytes",
    "modified": "the time of the source's last change",
    "files": "the times of the source's files",
    "sample": "the source's content",
    "in_memory": "the source, an array in memory, which cannot be recognized",
    "shape": "the source's shape",
    "source_dtype": "the source's type",
    "grain": "the way in which the source is stored",
    "chunks": "the chunk size",
    "num_levels": "the number of levels",
    "dtype": "the type of the stored voxels",
    "window": "the window",
    "method": "the method",
    "downsample": "the downsampling factors",
    "edges": "what happens at edges",
    "compressor": "the compressor",
    "ome_zarr_version": "the version of OME-Zarr",
    "shards": "the shards",
    "voxel_size": "the voxel size",
    "unit": "the unit",
    "axes": "the order of the axes",
    "crop": "the crop",
    "channel": "the channel",
    "time": "the time point",
    "calibration": "the calibration",
    "follow_links": "whether links are followed",
    "raw_shape": "the stated shape",
    "raw_dtype": "the stated type",
    "raw_offset": "the bytes before the voxels",
    "stages": "the blocks",
}


def differences(before: dict[str, Any], now: dict[str, Any], *, same_time: bool = True) -> str:
    """What is different, for people; empty if nothing is.

    Parameters
    ----------
    before, now : dict
        Two identities.
    same_time : bool
        Whether the time of the source's last change counts: a copy on another machine may have another.
    """
    found: list[str] = []
    for key, what in _NAMES.items():
        if key in ("modified", "files") and not same_time:
            continue
        was, is_ = before.get(key), now.get(key)
        # The blocks follow from the options, and a file that was changed has a time.
        if was == is_ or (key in ("stages", "files") and found):
            continue
        if key in ("files", "sample", "in_memory", "grain", "crop", "stages"):
            found.append(what)
        else:
            found.append(f"{what} (was {_value_text(was)}, is {_value_text(is_)})")
    return ", ".join(found)


def _value_text(value: Any) -> str:
    if isinstance(value, list) and all(type(number) in (int, float) for number in value):
        return times(value) if len(value) > 2 else " to ".join(f"{end:g}" for end in value)  # a window
    if isinstance(value, int):
        return f"{value:,}"
    return "none" if value is None else shorten(str(value), _LONGEST)
