"""Packs an OME-Zarr into one file, ``scan.ozx``: a zip archive whose members are stored as they are.

Specification: RFC-9 of NGFF, https://ngff.openmicroscopy.org/rfc/9. The metadata come first, from the top down, and
the comment of the archive states that.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import STATE_FOLDER

PACKED_VERSION = "0.5"
"""The version of OME-Zarr in an archive: RFC-9 asks for Zarr v3."""

_METADATA = "zarr.json"
_PIECE = 8_000_000  # bytes at a time


def pack(folder: Path, archive: Path) -> Iterator[int]:
    """Pack a finished OME-Zarr of `PACKED_VERSION`, without what this package keeps in it for itself.

    Parameters
    ----------
    folder : Path
        The OME-Zarr.
    archive : Path
        The file to write. One that exists is overwritten.

    Yields
    ------
    int
        Bytes of members that are packed so far, after each few megabytes.
    """
    sizes = {key: size for key, size in storage_of(folder).files_below() if not key.startswith(f"{STATE_FOLDER}/")}
    done = 0
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED, allowZip64=True) as file:
        for key in sorted(sizes, key=_order):
            # A fixed date, so that the same voxels make the same archive.
            member = zipfile.ZipInfo(key)
            with (folder / key).open("rb") as source, file.open(member, "w", force_zip64=True) as target:
                while piece := source.read(_PIECE):
                    target.write(piece)
                    done += len(piece)
                    yield done
        facts = {"version": PACKED_VERSION, "zipFile": {"centralDirectory": {"jsonFirst": True}}}
        file.comment = json.dumps({"ome": facts}).encode()


def _order(key: str) -> tuple[bool, int, list[str]]:
    """Metadata first, the outer before the inner; then chunks in the order of their numbers."""
    parts = [f"{int(part):010}" if part.isdigit() else part for part in key.split("/")]
    return parts[-1] != _METADATA, len(parts), parts
