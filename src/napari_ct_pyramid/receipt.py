"""The receipt that stays with an output: where it came from, how it was made, and whether it was verified since.

No path and no name of a user is in it.
"""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .checksums import CHECKSUMS
from .files import replace_file
from .identity import OPTIONS
from .journal import FOLDER
from .paths import AnyPath
from .plan import Plan
from .report import Receipt

RECEIPT = f"{FOLDER}/receipt.json"

_SOFTWARE = ("numpy", "imagecodecs", "tifffile", "ome-zarr", "zarr")


def write_receipt(
    output: AnyPath, receipt: Receipt, plan: Plan, identity: dict[str, Any], attributes: dict[str, Any]
) -> None:
    """Leave the receipt of a conversion in its output."""
    told = receipt.to_json()
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
            name: told[name]
            for name in (
                "seconds", "bytes_read", "gb_per_s", "peak_memory_bytes",
                "minimum", "maximum", "nans", "infinities", "window", "rescaled", "workers",
            )
        },
        "checksums": {"file": CHECKSUMS, "kind": "CRC-32 of each chunk's file and of its voxels"},
        "metadata": attributes,
        "verified": None,
    }  # fmt: skip
    _write(output, value)


def read_receipt(output: AnyPath) -> dict[str, Any] | None:
    """The receipt of an output; None where there is none that can be read."""
    try:
        value = json.loads((output / RECEIPT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def note_verified(output: AnyPath, problems: int, *, with_source: bool, repaired: bool) -> None:
    """Note in the receipt that the output was verified just now, and with what outcome."""
    value = read_receipt(output)
    if value is not None:
        value["verified"] = {
            "when": _now(),
            "problems": problems,
            "repaired": repaired,
            "with_source": with_source,
        }
        _write(output, value)


def _write(output: AnyPath, value: dict[str, Any]) -> None:
    replace_file(output / RECEIPT, json.dumps(value, indent=2).encode())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
