"""What stored voxels stand for: ``grey = stored × slope + intercept``, in a unit such as HU.

As DICOM's Rescale Slope, Intercept and Type (PS3.3, C.11.1): the voxels stay as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .errors import Advice, RequestError
from .parsing import as_written, parse_floats, split_parts

UNITS = (
    "HU", "mgHA/cm3", "mgHA/cm³", "mgHA/ccm", "mg/cm3", "mg/cm³", "mg/ccm", "g/cm3", "g/cm³", "g/ccm", "1/cm", "1/mm",
    "1/m", "cm-1", "mm-1",
)  # fmt: skip
"""Usual units of grey values. Any other text can be a unit, too."""

_LONGEST = 32  # characters of a unit


@dataclass(frozen=True)
class Calibration:
    """What stored voxels stand for.

    Attributes
    ----------
    slope : float
        The difference of the grey values of two voxels that differ by 1. Finite, and not 0.
    intercept : float
        The grey value of a voxel that is 0.
    unit : str or None
        Of the grey values.
    """

    slope: float
    intercept: float
    unit: str | None = None

    def grey(self, stored: float) -> float:
        """The grey value of a voxel."""
        return stored * self.slope + self.intercept

    def after(self, slope: float, intercept: float) -> Calibration:
        """This calibration, where voxels are stored so that `slope` and `intercept` give those it is made for."""
        return Calibration(self.slope * slope, self.grey(intercept), self.unit)

    @property
    def formula(self) -> str:
        """How to compute grey values from stored ones, to show: ``"grey = stored × 0.018 - 1.2 HU"``."""
        sign = "-" if self.intercept < 0 else "+"
        unit = f" {self.unit}" if self.unit else ""
        return f"grey = stored × {self.slope:g} {sign} {abs(self.intercept):g}{unit}"

    def __str__(self) -> str:
        """As a user writes it."""
        return f"{self.slope!r} {self.intercept!r} {self.unit or ''}".rstrip()

    def to_json(self) -> dict[str, Any]:
        """As written to an image's metadata."""
        return {"slope": self.slope, "intercept": self.intercept, "unit": self.unit}


def read_calibration(value: Any) -> Calibration | None:
    """The calibration in the metadata of an image; None where there is no valid one."""
    try:
        unit = value.get("unit")
        return _checked(float(value["slope"]), float(value["intercept"]), unit if isinstance(unit, str) else None)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _checked(slope: float, intercept: float, unit: str | None) -> Calibration | None:
    if not (math.isfinite(slope) and math.isfinite(intercept) and slope):
        return None
    text = "".join(character for character in unit or "" if character.isprintable()).strip()[:_LONGEST]
    return Calibration(slope, intercept, text or None)


def parse_calibration(value: Any) -> Calibration | None:
    """The calibration that a user writes: ``"0.018 -1.2 HU"``, or two numbers and perhaps a unit.

    Raises
    ------
    RequestError
        If it is not one.
    """
    if value is None or isinstance(value, Calibration):
        return value
    parts = value.split(maxsplit=2) if isinstance(value, str) else split_parts(value)
    numbers = parse_floats(parts[:2])
    unit = str(parts[2]) if len(parts) == 3 and parts[2] is not None else None
    well_formed = len(numbers) == 2 and len(parts) in (2, 3) and not (unit and parse_floats(unit))
    if well_formed and (found := _checked(numbers[0], numbers[1], unit)):
        return found
    raise RequestError(
        f"{as_written(value)!r} is not a calibration: it takes a slope, which is not 0, an intercept, and perhaps a "
        "unit, such as 0.018 -1.2 HU."
    )


def calibration_of(air: float | None, water: float | None) -> Calibration | None:
    """The calibration to Hounsfield units, where air is -1000 HU and water 0 HU; None if neither is given.

    Parameters
    ----------
    air, water : float or None
        The values of voxels of air and of water.

    Raises
    ------
    RequestError
        If only one is given, or both are equal.
    """
    if air is None and water is None:
        return None
    if air is None or water is None:
        missing = "air" if air is None else "water"
        raise RequestError("For Hounsfield units, both values are needed. Give that of ", missing, " too (",
                           Advice(missing), ").")  # fmt: skip
    slope = 1000 / (water - air) if water != air else math.inf
    found = _checked(slope, 0.0 - water * slope, "HU")
    if found is None:
        raise RequestError(f"Voxels of air and of water cannot both be {air:g}. Give two different values.")
    return found
