"""Datasets whose voxels are in other files: virtual datasets, and those with external storage.

HDF5 reads what is missing there as zeros. So all of it is looked at before anything is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.formatting import percent, times

from .files import Item, LinkedFiles

_DEEPEST = 8  # virtual datasets of virtual datasets


class MappedFiles:
    """The files that hold the voxels of a virtual dataset.

    Attributes
    ----------
    files : list of Path
        All of them, also those of virtual datasets in them.
    unmapped : float
        The share of voxels that no file holds, from 0 to 1. They have the fill value of the dataset.

    Raises
    ------
    SourceError
        If a file or a dataset in it is missing, smaller than it should be, or in another folder.
    """

    def __init__(self, linked: LinkedFiles, item: Item) -> None:
        self.files: list[Path] = []
        self._checked: set[tuple[Path, str]] = set()
        self.unmapped = self._check(linked, item, _DEEPEST)
        self.files = list(dict.fromkeys(self.files))

    def _check(self, linked: LinkedFiles, item: Item, depth: int) -> float:
        dataset = item.node
        if not depth:
            raise SourceError(f"The virtual dataset {item.name} of {item.path} leads in a circle. Try another dataset.")
        mapped = 0
        for mapping in dataset.virtual_sources():
            for file_name, name, voxels in _sources(mapping, item):
                mapped += voxels
                if file_name == ".":
                    file = item.path
                else:
                    what = f"a part of its virtual dataset {item.name}"
                    file = linked.located(item.path, file_name, what)
                    self.files.append(file)
                if (file, name) in self._checked:
                    continue
                self._checked.add((file, name))
                with closing(LinkedFiles(linked.source, file)) as inner:
                    self._check_part(inner, inner.find(name), item, file, name, mapping, depth)
        return max(0.0, 1 - mapped / float(math.prod(dataset.shape)))

    def _check_part(
        self, linked: LinkedFiles, part: Item | None, item: Item, file: Path, name: str, mapping: Any, depth: int
    ) -> None:
        where = f"which the virtual dataset {item.name} of {item.path} takes from there"
        if part is None or not isinstance(part.node, h5py.Dataset):
            raise SourceError(f"{file} has no dataset {name}, {where}. Try copying or writing that file again.")
        self.files += part.files[1:]
        if not _is_large_enough(part.node, mapping):
            raise SourceError(
                f"{file} has too few voxels ({times(part.node.shape)}) in {name}, {where}. Try copying or writing that "
                "file again."
            )
        if part.node.is_virtual:
            self._check(linked, part, depth - 1)
        elif part.node.external:
            for raw, _, _ in external_parts(linked, part):
                self.files.append(raw)


def _is_large_enough(dataset: h5py.Dataset, mapping: Any) -> bool:
    """Whether a dataset has all voxels that a mapping takes from it."""
    space = mapping.src_space
    if _is_unlimited(space) or _is_unlimited(mapping.vspace):
        return True
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return bool(dataset.size == mapping.vspace.get_select_npoints())
    _, last = space.get_select_bounds()
    return all(end < size for end, size in zip(last, dataset.shape, strict=True))


def _is_unlimited(space: Any) -> bool:
    """Whether a selection grows with its dataset."""
    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        return False
    _, _, count, block = space.get_regular_hyperslab()
    return h5py.h5s.UNLIMITED in (*count, *block)


def _sources(mapping: Any, item: Item) -> Iterator[tuple[str, str, int]]:
    """The file, the dataset and the number of voxels of each block of a mapping, which may number its files."""
    file, name, space = mapping.file_name, mapping.dset_name, mapping.vspace
    blocks, voxels = 1, int(math.prod(item.node.shape))  # of an unlimited mapping: at most
    if not _is_unlimited(space):
        voxels = int(space.get_select_npoints())
    elif "%b" in file or "%b" in name:
        blocks, voxels = _blocks(space, item.node.shape)
        # For HDF5, the dataset ends before the first file that is missing.
        blocks += not blocks or _has_later(item.path.parent / file, blocks)
    for block in range(blocks):
        yield _numbered(file, block), _numbered(name, block), voxels


def _has_later(file: Path, block: int) -> bool:
    """Whether a file exists whose number is larger than that of a block."""
    before, _, after = file.name.partition("%b")
    numbers = (name[len(before) : len(name) - len(after)] for name in _names(file.parent)
               if name.startswith(before) and name.endswith(after))  # fmt: skip
    return "%b" in file.name and any(number.isdecimal() and int(number) > block for number in numbers)


def _names(folder: Path) -> list[str]:
    try:
        return [file.name for file in folder.iterdir()]
    except OSError:
        return []


def _numbered(name: str, block: int) -> str:
    """A name in which HDF5 puts the number of the block in place of ``%b``."""
    return name.replace("%%", "\0").replace("%b", str(block)).replace("\0", "%")


def _blocks(space: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """How many blocks an unlimited mapping has in a dataset of this shape, and the voxels of each."""
    start, stride, count, block = space.get_regular_hyperslab()
    axis = next(axis for axis, n in enumerate(count) if n == h5py.h5s.UNLIMITED)
    others = math.prod(n for other, n in enumerate(count) if other != axis)
    return max(0, -(-(shape[axis] - start[axis]) // stride[axis])), math.prod(block) * others


def unmapped_note(item: Item, share: float) -> tuple[str, ...]:
    """A sentence about voxels of a virtual dataset that no file holds; none if there are no such voxels."""
    if not share:
        return ()
    fill = np.asarray(item.node.fillvalue).item()
    return (f"{percent(share)} of the voxels are in no file of the virtual dataset {item.name}: they are {fill:g}.",)


def external_parts(linked: LinkedFiles, item: Item) -> list[tuple[Path, int, int]]:
    """The files with the raw voxels of a dataset with external storage: each file, the offset, and the bytes to read.

    HDF5 looks for them in the working folder. Here, they are relative to the folder of the HDF5 file.

    Raises
    ------
    SourceError
        If one is missing, too short, or in another folder.
    """
    dataset = item.node
    left = math.prod(dataset.shape) * dataset.dtype.itemsize
    parts = []
    for name, offset, size in dataset.external:
        used = min(left, size)
        if not used:
            break
        file = linked.located(item.path, name, f"the external storage of its dataset {item.name}")
        present = file.stat().st_size - offset
        if present < used:
            raise SourceError(
                f"{file} is cut short: it has {max(0, present):,} of the {used:,} bytes of the dataset {item.name} of "
                f"{item.path}. Try copying it again."
            )
        parts.append((file, int(offset), int(used)))
        left -= used
    if left:
        raise SourceError(f"The files of the dataset {item.name} of {item.path} lack its last {left:,} bytes.")
    return parts
