"""The files of an HDF5 source: the one that was named, and those to which its links lead, however long the chain.

HDF5 looks for linked files in many places, and reads a missing one as nothing or as zeros. Here each link is followed
by hand, so that every file is known, is in the folder of the source or was asked for, and exists.
https://support.hdfgroup.org/documentation/hdf5/latest/group___h5_l.html (H5Lcreate_external)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.sources.inputs import Input
from napari_ct_pyramid.sources.links import linked_file

_MOST_LINKS = 64  # in a chain: more than this lead in a circle
_DEEPEST = 32  # groups in groups


@dataclass(frozen=True)
class Item:
    """A dataset or a group.

    Attributes
    ----------
    name : str
        Its path in the file that was named.
    node : h5py.Dataset or h5py.Group
    files : tuple of Path
        The files through which the links lead to it. The last one holds it.
    """

    name: str
    node: Any
    files: tuple[Path, ...]

    @property
    def path(self) -> Path:
        """The file that holds it."""
        return self.files[-1]


class LinkedFiles:
    """Open HDF5 files. Close it when done.

    Parameters
    ----------
    source : Input
    path : Path, optional
        The file to begin with; that of the source if not given.
    """

    def __init__(self, source: Input, path: Path | None = None) -> None:
        self.source = source
        self._path = path or source.local_path
        self._open: dict[Path, h5py.File] = {}

    def close(self) -> None:
        """Close all files."""
        for file in self._open.values():
            file.close()
        self._open.clear()

    def find(self, name: str) -> Item | None:
        """The dataset or group with a path; None if there is none.

        Raises
        ------
        SourceError
            If a link leads to a file that is missing, or outside of the folder of the source.
        """
        return self._walk(self.root, f"/{name.strip('/')}", name)

    @property
    def root(self) -> Item:
        """The root group of the first file."""
        return Item("/", self._file(self._path)["/"], (self._path,))

    def all_datasets(self) -> Iterator[Item]:
        """All datasets, also those to which links lead, sorted by path. One that has several names is given once.

        Raises
        ------
        SourceError
            As `find`.
        """
        yield from self._below(self.root, set(), _DEEPEST)

    def located(self, parent: Path, name: str, what: str) -> Path:
        """A file that another one names, once it is known that it exists and may be read.

        Parameters
        ----------
        parent : Path
            The file that names it.
        name : str
            An absolute path, or one relative to the folder of `parent`. As HDF5 does, this also looks in the folder of
            `parent` for a file whose absolute path does not exist, and in the folder to which a symbolic link leads.
        what : str
            What names it, for messages.
        """
        stated = parent.parent / name
        others = (parent.resolve().parent / name, parent.parent / Path(name).name)
        return linked_file(self.source, next((one for one in (stated, *others) if one.is_file()), stated), what)

    def _file(self, path: Path) -> h5py.File:
        key = path.resolve()
        if key not in self._open:
            try:
                self._open[key] = h5py.File(path, "r")
            except OSError as exc:
                if path == self.source.local_path:
                    raise
                raise SourceError(
                    f"{path}, which {self.source.path} names, is not an HDF5 file that can be read ({exc}). Try "
                    "copying it again."
                ) from exc
        return self._open[key]

    def _walk(self, start: Item, name: str, path: str) -> Item | None:
        """The item at a path below another item."""
        node, files, links = start.node, start.files, 0
        names = [part for part in path.split("/") if part not in ("", ".")]
        while names:
            part = names.pop(0)
            link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
            if link is None:
                return None
            if isinstance(link, h5py.HardLink):
                node = self._opened(node, part, name)
                continue
            links += 1
            if links > _MOST_LINKS:
                raise SourceError(f"The links of {self._path} lead in a circle, from {name} on. Try another dataset.")
            names = [*(part for part in link.path.split("/") if part not in ("", ".")), *names]
            if isinstance(link, h5py.ExternalLink):
                file = self.located(files[-1], link.filename, f"what its link {name} leads to")
                node, files = self._file(file)["/"], (*files, file)
            elif link.path.startswith("/"):
                node = node.file["/"]
        return Item(name, node, files)

    def _opened(self, group: h5py.Group, part: str, name: str) -> Any:
        try:
            return group[part]
        except (KeyError, OSError, RuntimeError) as exc:
            raise SourceError(
                f"{name} of {self.source.path} cannot be opened: {exc.args[0] if exc.args else exc}. It, or a file "
                "that it names, may be damaged: try copying them again."
            ) from exc

    def _below(self, item: Item, seen: set[tuple[int, int]], depth: int) -> Iterator[Item]:
        for name in item.node if depth else ():
            child = self._walk(item, f"{item.name.rstrip('/')}/{name}", name)
            if child is None:
                continue
            about = h5py.h5o.get_info(child.node.id)
            if (key := (about.fileno, about.addr)) in seen:
                continue
            seen.add(key)
            if isinstance(child.node, h5py.Dataset):
                yield child
            elif isinstance(child.node, h5py.Group):
                yield from self._below(child, seen, depth - 1)
