"""Which files of chunks an output has, by names and sizes. No content is read, so this takes a moment only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product

from napari_ct_pyramid.model.levels import Level
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import AnyPath

from .checksums import Checksums
from .metadata import file_key, folder_of_chunks
from .shards import read_places


def lost_chunks(output: AnyPath, plan: Plan, checksums: Checksums) -> Iterator[tuple[int, Triple]]:
    """The chunks that were written, and that are missing or have another size: level and index of each.

    A link or a folder in the place of a file counts as missing.
    """
    for number, level in enumerate(plan.levels):
        sizes = _sizes(output, level, plan)
        if level.shards:
            found = _sizes_in_shards(output, level, plan, sizes)
        else:
            found = {index: size for index in _grid(level, level.chunks) if (size := _size(sizes, index)) is not None}
        for index in _grid(level, level.chunks):
            written = checksums.get(number, index)
            if written and (index not in found or written.size not in (0, found[index])):
                yield number, index


def missing_files(output: AnyPath, plan: Plan) -> Iterator[str]:
    """The files of chunks or shards that are not there, by their paths relative to the output."""
    for level in plan.levels:
        sizes = _sizes(output, level, plan)
        for index in _grid(level, level.shards or level.chunks):
            if _size(sizes, index) is None:
                yield file_key(level, plan.options.ome_zarr_version, index)


def _sizes(output: AnyPath, level: Level, plan: Plan) -> dict[str, int]:
    folder = folder_of_chunks(level, plan.options.ome_zarr_version)
    return dict(storage_of(output / folder).files_below())


def _size(sizes: Mapping[str, int], index: Triple) -> int | None:
    size = sizes.get("/".join(map(str, index)), -1)
    return size if size >= 0 else None


def _sizes_in_shards(output: AnyPath, level: Level, plan: Plan, sizes: Mapping[str, int]) -> dict[Triple, int]:
    """The size of each chunk by the indices of the shards; without the chunks of shards that are missing or damaged."""
    found = {}
    places = {}
    for index in _grid(level, level.chunks):
        number, slot = level.place_in_shard(index)
        if number not in places:
            path = output / file_key(level, plan.options.ome_zarr_version, number)
            places[number] = {} if _size(sizes, number) is None else read_places(path, level.chunks_per_shard)
        if slot in places[number]:
            found[index] = places[number][slot].size
    return found


def _grid(level: Level, step: Triple) -> Iterator[Triple]:
    z, y, x = (range(math.ceil(n / s)) for n, s in zip(level.shape, step, strict=True))
    return product(z, y, x)
