"""What a conversion leaves on disk: later versions must be able to read, resume and verify it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import napari_ct_pyramid as ct
from tests.helpers.scans import VOXELS, small_blocks, write_scan

OPTIONS: dict[str, Any] = {"chunks": (8, 8, 16), "num_levels": 3, "threads": 2, "crop": "1:,,", "unit": "nm"}

# As version 0.1.0 wrote it, but for the size and the time of the source's file.
IDENTITY: dict[str, Any] = {
    "version": "0.1.0",
    "source": "scan",
    "sample": 1898736252,
    "shape": [45, 32, 32],
    "source_dtype": "<u2",
    "grain": [1, 1, 32, 0, 0, 0],
    "chunks": [8, 8, 16],
    "num_levels": 3,
    "dtype": "uint8",
    "window": [100.0, 60000.0],
    "method": "mean",
    "downsample": "2 2 2",
    "edges": "strict",
    "compressor": "lz4",
    "ome_zarr_version": "0.4",
    "shards": None,
    "voxel_size": [0.5, 0.5, 0.5],
    "unit": "nanometer",
    "axes": "zyx",
    "crop": [[1, None], [None, None], [None, None]],
    "stages": [[0, 1, 16, 16], [1, 2, 16, 16]],
}
BLOCK = {
    "stage", "block", "minimum", "maximum", "nans", "infinities", "clipped", "histogram", "seconds", "checksums",
    "crc32",
}  # fmt: skip
RECEIPT = {
    "source": {"name", "format", "shape", "dtype", "compression", "size", "modified"},
    "options": {
        "chunks", "num_levels", "dtype", "window", "method", "downsample", "edges", "compressor", "ome_zarr_version",
        "shards", "voxel_size", "unit", "axes", "crop", "max_memory", "threads",
    },
    "rescaled": {
        "source_dtype", "window", "slope", "intercept", "minimum", "maximum", "clipped", "clipped_share",
    },
}  # fmt: skip


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small_blocks(monkeypatch)
    scan = write_scan(tmp_path, VOXELS)
    asked = {**OPTIONS, "voxel_size": 0.5, "dtype": "uint8", "window": (100, 60000)}
    return Path(str(ct.convert(scan, **asked).output))


def test_the_files_beside_the_pyramid(output: Path) -> None:
    assert {path.name for path in (output / ".ct-pyramid").iterdir()} == {"journal.jsonl", "receipt.json"}


def test_the_journal(output: Path) -> None:
    head, *blocks = map(json.loads, (output / ".ct-pyramid" / "journal.jsonl").read_text().splitlines())
    assert set(head) == {"format_version", "identity", "blocks", "crc32"}
    assert head["format_version"] == 2
    assert set(head["identity"]) >= {*IDENTITY, "size", "modified"}
    told = {key: head["identity"][key] for key in IDENTITY}
    assert told == {**IDENTITY, "version": ct.__version__}
    assert len(blocks) == head["blocks"]
    assert all(set(block) == BLOCK for block in blocks)


def test_the_receipt(output: Path) -> None:
    receipt = json.loads((output / ".ct-pyramid" / "receipt.json").read_text())
    for part, keys in RECEIPT.items():
        assert set(receipt[part]) >= keys
    assert receipt["format_version"] == 2
    assert set(receipt) >= {
        "voxel_size_from", "software", "finished", "seconds", "bytes_read", "gb_per_s", "peak_memory_bytes", "minimum",
        "maximum", "nans", "infinities", "window", "workers", "metadata", "verified",
    }  # fmt: skip
