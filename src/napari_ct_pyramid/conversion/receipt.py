"""The receipt in an output: where the output came from, how it was made, and whether it was verified since.

It contains no paths, and no name of a user.
"""

from __future__ import annotations

import math
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from napari_ct_pyramid.model.formatting import count, format_size, html_table, times
from napari_ct_pyramid.model.intensity import Rescale
from napari_ct_pyramid.model.levels import Level
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.statistics import Statistics
from napari_ct_pyramid.omezarr.edit import Facts, edit_attributes, facts_from_json, read_facts
from napari_ct_pyramid.omezarr.metadata import group_metadata
from napari_ct_pyramid.parsing import parse_json
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import STATE_FOLDER, AnyPath
from napari_ct_pyramid.storage.sealed import seal, unseal

from .identity import OPTIONS, differences


@dataclass(frozen=True)
class Rescaled:
    """How voxels were stored as integers with fewer bits, and what that lost.

    Attributes
    ----------
    rescale : Rescale
        How they were rescaled.
    minimum, maximum : float
        Of the finite voxels of the source, before; inf and -inf where there are none.
    clipped : int
        Voxels outside the window, infinities included.
    clipped_share : float
        `clipped` as a part of all voxels of the source, from 0 to 1.
    """

    rescale: Rescale
    minimum: float
    maximum: float
    clipped: int
    clipped_share: float

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        empty = self.minimum > self.maximum  # JSON has no infinity
        return {
            **self.rescale.to_json(),
            "minimum": None if empty else self.minimum,
            "maximum": None if empty else self.maximum,
            "clipped": self.clipped,
            "clipped_share": self.clipped_share,
        }


def rescaled(plan: Plan, statistics: Statistics) -> Rescaled | None:
    """How a conversion rescaled the voxels; None if it did not."""
    if plan.rescale is None:
        return None
    share = statistics.clipped / math.prod(plan.volume.shape)
    return Rescaled(plan.rescale, statistics.minimum, statistics.maximum, statistics.clipped, share)


@dataclass(frozen=True)
class Receipt:
    """What a conversion made, and how long and how much memory that took.

    Attributes
    ----------
    output : Path or RemotePath
    ome_zarr_version : str
    levels : tuple of Level
    seconds : float
        From the request to the finished volume. If the conversion was resumed, the time before that is included.
    bytes_read, bytes_written : int
        Of the voxels that were read from the source, and of the files that were written.
    peak_memory_bytes : int
        Peak resident memory of the process; on a cluster the largest of any worker.
    over_budget_bytes : int
        By how much that is more than the budget, if the conversion is the reason; 0 if it kept its budget.
    minimum, maximum : float
        Of the finite voxels of level 0, as stored.
    nans, infinities : int
        Voxels of the source that are not finite.
    window : tuple of float
        The display window: the 0.1 and 99.9 percentiles of level 0, as stored.
    histogram : dict or None
        Of the finite voxels of level 0, as stored: ``edges``, ``counts``, and ``exact``, which is False if a sample was
        counted. None if no voxel is finite, or where it is unknown.
    rescaled : Rescaled or None
        How the voxels were rescaled, if another type was asked for.
    workers : int
        Workers of a cluster that made blocks; 0 if threads of this process made them.
    strays : tuple of str
        Files among the chunks that are none of the volume's, by their paths in the output. They were left alone.
    """

    output: AnyPath
    ome_zarr_version: str
    levels: tuple[Level, ...]
    seconds: float
    bytes_read: int
    bytes_written: int
    peak_memory_bytes: int
    minimum: float
    maximum: float
    nans: int
    infinities: int
    window: tuple[float, float]
    histogram: dict[str, Any] | None = None
    rescaled: Rescaled | None = None
    workers: int = 0
    over_budget_bytes: int = 0
    strays: tuple[str, ...] = ()

    def __repr__(self) -> str:
        size = " × ".join(map(str, self.levels[0].shape))
        return (
            f"<Receipt of {self.output}: {size} {self.levels[0].dtype}, {count(len(self.levels), 'level')}, "
            f"{self.seconds:.1f} s, {format_size(self.peak_memory_bytes)} of memory>"
        )

    def _repr_html_(self) -> str:
        rows = [(level.path, times(level.shape), times(level.chunks), format_size(level.nbytes))
                for level in self.levels]  # fmt: skip
        return html_table(repr(self).strip("<>"), ("Level", "Shape", "Chunks", "Size"), rows)

    @property
    def bytes_per_second(self) -> float:
        """Bytes of the source's voxels a second, over the whole time."""
        return self.bytes_read / self.seconds

    @property
    def gb_per_s(self) -> float:
        """`bytes_per_second` in gigabytes (10**9 bytes)."""
        return self.bytes_per_second / 1e9

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {
            "output": str(self.output),
            "ome_zarr_version": self.ome_zarr_version,
            "levels": [level.to_json() for level in self.levels],
            "seconds": round(self.seconds, 3),
            "bytes_read": self.bytes_read,
            "bytes_written": self.bytes_written,
            "peak_memory_bytes": self.peak_memory_bytes,
            "over_budget_bytes": self.over_budget_bytes,
            "gb_per_s": round(self.gb_per_s, 4),
            "minimum": self.minimum,
            "maximum": self.maximum,
            "nans": self.nans,
            "infinities": self.infinities,
            "window": list(self.window),
            "histogram": self.histogram,
            "rescaled": self.rescaled.to_json() if self.rescaled else None,
            "workers": self.workers,
            "strays": list(self.strays),
        }


RECEIPT = f"{STATE_FOLDER}/receipt.json"

_FORMAT = 2  # of the receipts that are written; those of version 0.1.0 have none, and no checksum of themselves

_SOFTWARE = ("numpy", "imagecodecs", "tifffile", "ome-zarr", "zarr")


def write_receipt(
    output: AnyPath,
    receipt: Receipt,
    plan: Plan,
    identity: dict[str, Any],
    attributes: dict[str, Any],
    edited: dict[str, Any] | None = None,
) -> None:
    """Write the receipt of a conversion to its output. `edited` is what a receipt before it noted of edits."""
    made = receipt.to_json()
    value = {
        "source": {
            "name": identity["source"],
            "format": plan.volume.format,
            "shape": identity["shape"],
            "dtype": str(plan.volume.dtype),
            "compression": plan.volume.compression,
            "size": identity["size"],
            "modified": identity["modified"],
        },
        "options": {
            **{name: identity[name] for name in OPTIONS},
            "max_memory": plan.options.max_memory,
            "threads": plan.threads,
        },
        "voxel_size_from": plan.voxel_size_from,
        "software": {
            "napari-ct-pyramid": identity["version"],
            "python": platform.python_version(),
            **{name: _version(name) for name in _SOFTWARE},
            "system": f"{platform.system()} {platform.machine()}",
        },
        "finished": _now(),
        **{
            name: made[name]
            for name in (
                "seconds", "bytes_read", "gb_per_s", "peak_memory_bytes", "over_budget_bytes",
                "minimum", "maximum", "nans", "infinities", "window", "histogram", "rescaled",
                "workers",
            )
        },
        "metadata": attributes,
        "edited": edited,
        "verified": None,
    }  # fmt: skip
    _write(output, value)


def read_receipt(output: AnyPath, *, strict: bool = False) -> dict[str, Any] | None:
    """The receipt of an output; None if there is none, or it cannot be read, or it is not as it was written.

    Of an edit that was interrupted, it states what the output's metadata show: that it was made, or that it was not.

    Parameters
    ----------
    output : path
    strict : bool
        Raise the `OSError` if it cannot be read: whoever writes it again would lose what it states.
    """
    value = _read(output, strict=strict)
    edit = (value or {}).pop(_BEGUN, None)
    return value | edit if value and edit and _is_made(output, value, edit) else value


def begin_edit(output: AnyPath, changes: Facts) -> None:
    """Note in the receipt that facts in the metadata are about to change.

    Until `finish_edit`, the receipt agrees with the metadata as they were and as they will be.
    """
    value = read_receipt(output, strict=True)
    if value is None:
        return
    facts = (edited_facts(value) or Facts()).updated(changes)
    edit = {
        "metadata": edit_attributes(value["metadata"], changes),
        "edited": {"when": _now(), **facts.to_json()},
    }
    _write(output, {**value, _BEGUN: edit})


def finish_edit(output: AnyPath) -> None:
    """Note in the receipt that the edit that was begun is made."""
    value = _read(output, strict=True)
    if value and (edit := value.pop(_BEGUN, None)):
        _write(output, value | edit)


def settle_edit(output: AnyPath) -> None:
    """Note in the receipt whether an edit that was interrupted is made, while the output's metadata show it."""
    if value := read_receipt(output, strict=True):
        _write(output, value)


def edited_facts(receipt: dict[str, Any] | None) -> Facts | None:
    """What was edited since the conversion; None if nothing was."""
    edited = (receipt or {}).get("edited")
    return facts_from_json(edited) if edited else None


_BEGUN = "edit_begun"


def _is_made(output: AnyPath, receipt: dict[str, Any], edit: dict[str, Any]) -> bool:
    """Whether the metadata of the output are those of an edit."""
    try:
        name, document = group_metadata(receipt["options"]["ome_zarr_version"], edit["metadata"])
        return bool(parse_json(storage_of(output / name).read()) == document)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def disagreement(receipt: dict[str, Any], identity: dict[str, Any], *, same_source: bool = True) -> str:
    """What a receipt and the identity in the journal state differently, for people; empty if nothing is.

    Parameters
    ----------
    receipt, identity : dict
    same_source : bool
        Whether both must name the same files and version. A repair that was stopped, from a copy of the source or by
        another version, has noted its own in the journal only: then what both state of the voxels is compared.
    """
    try:
        source, options = receipt["source"], receipt["options"]
        stated = {**options, "shape": source["shape"]}
        if same_source:
            stated |= {name: options[name] for name in OPTIONS if name in identity}
            stated |= {"source": source["name"], "size": source["size"], "modified": source["modified"]}
            stated["source_dtype"] = np.dtype(source["dtype"]).str
            stated["version"] = receipt["software"]["napari-ct-pyramid"]
        return differences(
            {key: value for key, value in stated.items() if key in identity},
            {key: identity[key] for key in stated if key in identity},
        )
    except (KeyError, TypeError, ValueError):  # something else wrote them
        return "everything"


def wrong_metadata(receipt: dict[str, Any]) -> list[str]:
    """Which facts the metadata in a receipt state otherwise than its conversion and the edits it notes.

    The name of an image that was not renamed is not looked at: the output may have had another one.
    """
    size, unit = (receipt["options"].get(name) for name in ("voxel_size", "unit"))
    made = Facts(tuple(size) if size else None, unit, None, tuple(receipt["window"]))
    noted, shown = made.updated(edited_facts(receipt) or Facts()), read_facts(receipt["metadata"])
    unknown = (1.0, 1.0, 1.0)  # as metadata have it
    same = {
        "voxel size": (noted.voxel_size or unknown) == (shown.voxel_size or unknown),
        "unit": noted.unit == shown.unit,
        "name": noted.name in (None, shown.name),
        "display window": shown.window in (None, noted.window),  # labels have none
    }
    return [what for what, is_same in same.items() if not is_same]


def change_receipt(output: AnyPath, **changes: Any) -> None:
    """Change entries of the receipt of an output, if it has a valid one."""
    value = read_receipt(output, strict=True)
    if value is not None:
        _write(output, {**value, **changes})


def note_verified(output: AnyPath, problems: int, *, with_source: bool, repaired: bool) -> None:
    """Note in the receipt that the output was verified just now, and the outcome."""
    outcome = {"when": _now(), "problems": problems, "repaired": repaired, "with_source": with_source}
    change_receipt(output, verified=outcome)


def _read(output: AnyPath, *, strict: bool = False) -> dict[str, Any] | None:
    try:
        data = storage_of(output / RECEIPT).read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError:
        if strict:
            raise
        return None
    try:
        is_sealed = b'"crc32"' in data or b'"format_version"' in data  # by versions after 0.1.0
        value = unseal(data) if is_sealed else parse_json(data)
        wrong_metadata(value)
        return value if value["source"]["shape"] else None
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):  # it is not what a conversion wrote
        return None


def _write(output: AnyPath, value: dict[str, Any]) -> None:
    storage_of(output / RECEIPT).replace(seal({"format_version": _FORMAT, **value}, indent=2))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
