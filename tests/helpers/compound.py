"""Compound files (OLE), written from [MS-CFB]: no library writes them. olefile checks them in the tests."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np

END, FREE, FAT_SECTOR, DIFAT_SECTOR, NONE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD, 0xFFFFFFFC, 0xFFFFFFFF
CUTOFF, MINI = 4096, 64


class _Writer:
    """Sectors of a file, in a random order if there is a seed."""

    def __init__(self, sector: int, seed: int | None) -> None:
        self.sector, self.seed = sector, seed
        self.chains: list[tuple[bytes, int]] = []

    def add(self, data: bytes) -> int:
        """Add a stream; returns its number."""
        self.chains.append((data, -(-len(data) // self.sector)))
        return len(self.chains) - 1

    def place(self) -> tuple[list[list[int]], int]:
        """The sectors of each stream, and the number of all."""
        total = sum(count for _, count in self.chains)
        order = list(range(total))
        if self.seed is not None:
            random.Random(self.seed).shuffle(order)
        placed = []
        for _, count in self.chains:
            placed.append(order[:count])
            order = order[count:]
        return placed, total


def write_compound(path: Path, streams: dict[str, bytes], *, version: int = 3, seed: int | None = None) -> Path:
    """Write streams by their paths, such as ``ImageInfo/ImageWidth``.

    With a `seed`, the sectors of all streams are in a random order. Version 4 has sectors of 4096 bytes, version 3 of
    512 bytes.
    """
    sector = 512 if version == 3 else 4096
    writer = _Writer(sector, seed)
    entries, mini, mini_table = _directory(streams)
    large = {name: writer.add(data) for name, data in streams.items() if len(data) >= CUTOFF}
    mini_number = writer.add(mini) if mini else None
    table_number = writer.add(struct.pack(f"<{len(mini_table)}I", *mini_table)) if mini_table else None
    directory_number = writer.add(bytes(128 * len(entries)))
    placed, total = writer.place()
    for entry in entries:
        name = entry["path"]
        if name in large:
            entry["start"] = placed[large[name]][0]
    entries[0]["start"] = placed[mini_number][0] if mini_number is not None else END
    entries[0]["size"] = len(mini)
    writer.chains[directory_number] = (b"".join(map(_entry, entries)), len(placed[directory_number]))

    each = sector // 4
    fats = difats = 0
    while fats * each < total + fats + difats:
        fats += 1
        difats = max(0, -(-(fats - 109) // (each - 1)))
    table = np.full(fats * each, FREE, np.uint32)
    image = bytearray(sector * (1 + total + fats + difats))
    for (data, _), sectors in zip(writer.chains, placed, strict=True):
        for i, number in enumerate(sectors):
            part = data[i * sector : (i + 1) * sector]
            image[(number + 1) * sector : (number + 1) * sector + len(part)] = part
            table[number] = sectors[i + 1] if i + 1 < len(sectors) else END
    fat_sectors = list(range(total, total + fats))
    difat_sectors = list(range(total + fats, total + fats + difats))
    table[fat_sectors], table[difat_sectors] = FAT_SECTOR, DIFAT_SECTOR
    for number, row in zip(fat_sectors, table.reshape(fats, each), strict=True):
        image[(number + 1) * sector : (number + 2) * sector] = row.astype("<u4").tobytes()
    rest = fat_sectors[109:]
    for i, number in enumerate(difat_sectors):
        listed = rest[i * (each - 1) : (i + 1) * (each - 1)]
        listed += [FREE] * (each - 1 - len(listed)) + [difat_sectors[i + 1] if i + 1 < difats else END]
        image[(number + 1) * sector : (number + 2) * sector] = struct.pack(f"<{each}I", *listed)
    header = struct.pack(
        "<8s16xHHHHH6x9I",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 62, version, 0xFFFE, 9 if version == 3 else 12, 6,
        0 if version == 3 else len(placed[directory_number]), fats, placed[directory_number][0], 0, CUTOFF,
        placed[table_number][0] if table_number is not None else END,
        len(placed[table_number]) if table_number is not None else 0,
        difat_sectors[0] if difats else END, difats,
    )  # fmt: skip
    first = (fat_sectors + [FREE] * 109)[:109]
    image[:512] = header + struct.pack("<109I", *first)
    path.write_bytes(image)
    return path


def _directory(streams: dict[str, bytes]) -> tuple[list[dict], bytes, list[int]]:
    """The entries, the stream of small streams, and its table."""
    entries: list[dict] = [{"path": "", "name": "Root Entry", "kind": 5, "start": END, "size": 0}]
    children: dict[str, list[int]] = {"": []}
    mini = bytearray()
    table: list[int] = []
    for path, data in streams.items():
        *folders, _ = path.split("/")
        for depth in range(1, len(folders) + 1):
            folder = "/".join(folders[:depth])
            if folder not in children:
                children[folder] = []
                children["/".join(folders[: depth - 1])].append(len(entries))
                entries.append({"path": folder, "name": folders[depth - 1], "kind": 1, "start": 0, "size": 0})
        children["/".join(folders)].append(len(entries))
        start = END
        if 0 < len(data) < CUTOFF:
            start = len(table)
            count = -(-len(data) // MINI)
            table += [*range(start + 1, start + count), END]
            mini += data + bytes(count * MINI - len(data))
        entries.append({"path": path, "name": path.split("/")[-1], "kind": 2, "start": start, "size": len(data)})
    for entry in entries:
        entry.update(left=NONE, right=NONE, child=NONE)
    for folder, numbers in children.items():
        owner = next(entry for entry in entries if entry["path"] == folder and entry["kind"] != 2)
        ordered = sorted(numbers, key=lambda n: (len(entries[n]["name"]), entries[n]["name"].upper()))
        owner["child"] = _tree(entries, ordered)
    return entries, bytes(mini), table


def _tree(entries: list[dict], ordered: list[int]) -> int:
    """Make a balanced tree of siblings; returns its root."""
    if not ordered:
        return NONE
    middle = len(ordered) // 2
    entry = entries[ordered[middle]]
    entry["left"], entry["right"] = _tree(entries, ordered[:middle]), _tree(entries, ordered[middle + 1 :])
    return ordered[middle]


def _entry(entry: dict) -> bytes:
    name = entry["name"].encode("utf-16-le")
    return struct.pack(
        "<64sHBBIII16xI16xIQ", name, len(name) + 2, entry["kind"], 1,
        entry["left"], entry["right"], entry["child"], 0, entry["start"], entry["size"],
    )  # fmt: skip


def write_txm(path: Path, volume: np.ndarray, *, pixel_size: float | None = 0.65, **options: int | None) -> Path:
    """A Zeiss file with the images of a volume (z, y, x) of uint16 or float32."""
    depth, height, width = volume.shape
    values = {"ImageWidth": width, "ImageHeight": height, "NoOfImages": depth, "ImagesTaken": depth}
    streams = {f"ImageInfo/{name}": struct.pack("<I", value) for name, value in values.items()}
    streams["ImageInfo/DataType"] = struct.pack("<I", {"uint16": 5, "float32": 10}.get(volume.dtype.name, 3))
    if pixel_size is not None:
        streams["ImageInfo/PixelSize"] = struct.pack("<f", pixel_size)
    for z, image in enumerate(volume, start=1):
        streams[f"ImageData{-(-z // 100)}/Image{z}"] = image.astype(image.dtype.newbyteorder("<")).tobytes()
    return write_compound(path, streams, **options)
