"""What a user asks of statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.options import ExportOptions, SourceOptions
from napari_ct_pyramid.parsing import count_of

OTSU = "otsu"
BINS = 256
MOST_BINS = 1_000_000


def _as_in_export(name: str) -> Any:
    option = ExportOptions.__dataclass_fields__[name]
    return field(default=option.default, metadata=option.metadata)


def _option(help: str, *, default: Any, metavar: str | None = None) -> Any:
    return field(default=default, metadata={"help": help, "metavar": metavar, "rare": False})


@dataclass(frozen=True, kw_only=True)
class StatsOptions(SourceOptions):
    """What a user asked of statistics.

    Raises
    ------
    RequestError
        If a value is invalid, whatever the source is.
    """

    offers_dtype: ClassVar[bool] = False

    # fmt: off
    level: int = _option("the level of an OME-Zarr, from 0, which is the finest", default=0, metavar="K")
    crop: Any = _as_in_export("crop")
    grey_values: bool = _as_in_export("grey_values")
    bins: int = _option(
        "bins of the histogram, from the smallest to the largest value. Integers of 8 and 16 bits are counted value by "
        "value all the same, and the threshold is found from that", default=BINS, metavar="N")
    threshold: float | str = _option(
        "count the voxels above this value; otsu: above the value that separates two classes best",
        default=OTSU, metavar="V | otsu")
    per_slice: bool = _option("the numbers of every slice, too", default=False)
    max_memory: int = _as_in_export("max_memory")
    threads: int | None = _as_in_export("threads")
    # fmt: on

    def __post_init__(self) -> None:
        as_elsewhere = ExportOptions(
            **{
                option.name: getattr(self, option.name)
                for option in fields(ExportOptions)
                if hasattr(self, option.name)
            }
        )
        for option in fields(self):
            if hasattr(as_elsewhere, option.name):
                object.__setattr__(self, option.name, getattr(as_elsewhere, option.name))
        bins = count_of("bins")(self.bins) or BINS
        if bins > MOST_BINS:
            raise RequestError(f"{bins:,} bins are too many: at most {MOST_BINS:,} can be asked for.")
        object.__setattr__(self, "bins", bins)
        object.__setattr__(self, "threshold", _parse_threshold(self.threshold))

    @property
    def thread_count(self) -> int:
        """Threads to use."""
        return ExportOptions(threads=self.threads).thread_count


def _parse_threshold(value: Any) -> float | str:
    if isinstance(value, str) and value.strip().lower() == OTSU:
        return OTSU
    try:
        found = float(str(value).replace(",", "."))
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise RequestError(f"{value!r} is not a threshold: it takes a number, or {OTSU}.")
    return found
