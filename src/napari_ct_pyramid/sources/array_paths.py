"""Finds where the voxels of arrays are stored, so that no output replaces them while they are read."""

from __future__ import annotations

import pickle
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

from napari_ct_pyramid.errors import RequestError, sentence
from napari_ct_pyramid.storage.paths import AnyPath, any_path

_BY_NAME = (type, FunctionType, BuiltinFunctionType)  # sent as their names


def path_of(array: Any) -> AnyPath | None:
    """Where a Zarr array or a level of an OME-Zarr is stored; None for other arrays."""
    from napari_ct_pyramid.model.lazy_array import LazyArray

    if isinstance(array, LazyArray):
        found: AnyPath | None = array.path
        return found
    store, within = getattr(array, "store", None), str(getattr(array, "path", ""))
    if isinstance(root := getattr(store, "root", None), (str, Path)):
        return Path(root, within)
    files, place = getattr(store, "fs", None), getattr(store, "path", None)
    if files is None or not isinstance(place, str):
        return None
    files = getattr(files, "sync_fs", files)  # of fsspec; zarr wraps those that are not asynchronous
    folder = Path(place) if "file" in files.protocol else any_path(files.unstrip_protocol(place))
    return folder / within if within else folder


def paths_in(array: Any) -> list[AnyPath]:
    """The folders of all arrays that an array is computed from, such as one of Dask or xarray.

    It looks at all objects that would be sent to another process to compute the array, also those in functions.

    Raises
    ------
    RequestError
        If not all of them can be looked at.
    """
    import numpy as np

    found: dict[AnyPath, None] = {}
    # cloudpickle comes with Dask, and takes functions, too.
    pickler: Any = import_module("cloudpickle" if find_spec("cloudpickle") else "pickle").Pickler

    class Finder(pickler):  # type: ignore[misc]
        def persistent_id(self, part: Any) -> str | None:
            if isinstance(part, np.ndarray | str | bytes | int | float):
                return "no array in it"
            path = path_of(part)
            if path is not None:
                found[path] = None
            return str(path) if path else None

        def reducer_override(self, part: Any) -> Any:
            known = getattr(super(), "reducer_override", lambda _: NotImplemented)(part)
            is_known = isinstance(part, _BY_NAME) or type(part) in getattr(self, "dispatch_table", ())
            if known is NotImplemented and not is_known:
                try:
                    part.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
                except Exception:  # noqa: BLE001  such as a lock or an open file, which cannot be sent
                    return object, ()
            return known

    try:
        Finder(_Nowhere(), protocol=pickle.HIGHEST_PROTOCOL).dump(array)
    except Exception as error:  # of whatever the array is made of
        raise RequestError(
            f"It is not known where the voxels of the array are stored ({sentence(error).rstrip('.')}), so nothing is "
            "overwritten with it. Choose another name for the output."
        ) from error
    return list(found)


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, written: bytes) -> int:
        return len(written)
