"""Draws a histogram with its threshold as a PNG."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ct_pyramid.errors import ConversionError, OutputExistsError, RequestError

if TYPE_CHECKING:
    from .result import VolumeStatistics

_SIZE = (1000, 500)
_LEFT, _TOP, _RIGHT, _BOTTOM = 90, 84, 30, 70
_INK, _GREY, _BARS, _MARK = "#222222", "#cccccc", "#4477aa", "#cc3311"


def check_plot(path: Path) -> None:
    """Make sure that a picture can be drawn to a path.

    Raises
    ------
    RequestError
        If it does not end in .png, if there is such a file already (`OutputExistsError`), or Pillow is missing.
    """
    if path.suffix.lower() != ".png":
        raise RequestError(f"{path} does not end in .png, and only such a picture can be drawn.")
    if not path.absolute().parent.is_dir():
        raise RequestError(f"There is no folder {path.absolute().parent} for the picture.")
    if path.exists():
        raise OutputExistsError(
            f"The picture {path} exists already. It is left alone: choose another name.", replaceable=False
        )
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise RequestError("A picture needs Pillow. Install it: pip install 'napari-ct-pyramid[plot]'") from error


def draw_histogram(found: VolumeStatistics, path: Path) -> None:
    """Draw the histogram to a PNG: the number of voxels is logarithmic, so that rare values are seen, too.

    Raises
    ------
    ConversionError
        If the file cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", _SIZE, "white")
    draw, font, large = ImageDraw.Draw(image), ImageFont.load_default(16), ImageFont.load_default(20)
    width, height = _SIZE[0] - _LEFT - _RIGHT, _SIZE[1] - _TOP - _BOTTOM
    floor = _TOP + height
    draw.text((_LEFT, 18), _shortened(found.name, 70), fill=_INK, font=large)
    if found.minimum is None or not found.counts.size:
        draw.text((_LEFT, _TOP + 20), "No voxel is finite.", fill=_INK, font=font)
        _save(image, path)
        return
    low, high = float(found.edges[0]), float(found.edges[-1])
    top = math.log10(max(10, int(found.counts.max())))

    def across(value: float) -> float:
        return _LEFT + width * (value - low) / (high - low)

    for power in range(math.ceil(top)):
        y = floor - height * power / top
        draw.line((_LEFT, y, _LEFT + width, y), fill=_GREY)
        draw.text((_LEFT - 10, y), f"{10**power:,}" if power < 6 else f"1e{power}", fill=_INK, font=font, anchor="rm")
    heights = height * (np.log10(np.maximum(found.counts, 1)) + 0.05) / (top + 0.05)
    for left, right, count, tall in zip(found.edges[:-1], found.edges[1:], found.counts, heights, strict=True):
        if count:
            draw.rectangle((across(left), floor - tall, max(across(left), across(right) - 1), floor), fill=_BARS)
    draw.line((_LEFT, floor, _LEFT + width, floor), fill=_INK)
    for share in (0, 0.25, 0.5, 0.75, 1):
        value = low + share * (high - low)
        draw.text((across(value), floor + 8), f"{value:.4g}", fill=_INK, font=font, anchor="mt")
    unit = f" in {found.calibration.unit}" if found.calibration and found.calibration.unit else ""
    draw.text((_LEFT + width / 2, _SIZE[1] - 28), f"value of {found.count:,} voxels{unit}", fill=_INK, font=font,
              anchor="mt")  # fmt: skip
    if found.threshold is not None and found.above is not None and low <= found.threshold <= high:
        x = across(found.threshold)
        draw.line((x, _TOP - 22, x, floor), fill=_MARK, width=2)
        words = f"{'Otsu ' if found.is_otsu else ''}{found.threshold:.5g}: {100 * found.above:.3g} % above"
        draw.text((x + 6, _TOP - 24), words, fill=_MARK, font=font) if x < _SIZE[0] - 320 else draw.text(
            (x - 6, _TOP - 24), words, fill=_MARK, font=font, anchor="ra"
        )
    _save(image, path)


def _save(image: Any, path: Path) -> None:
    try:
        image.save(path)
    except OSError as error:
        raise ConversionError(f"{path} cannot be written: {error.strerror or error}.") from error


def _shortened(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"
