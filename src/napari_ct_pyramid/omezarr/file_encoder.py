"""Makes the file of a chunk or shard, with whatever codecs its array has."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from napari_ct_pyramid.errors import SourceError

from .documents import array_file
from .metadata import first_line


def encode_file(metadata: dict[str, Any], voxels: np.ndarray) -> bytes:
    """The bytes of a file of an array, as a library of Zarr makes them.

    Parameters
    ----------
    metadata : dict
        Of the array.
    voxels : numpy.ndarray
        Of a whole chunk, or of a whole shard; less where it reaches beyond the edges of the array.

    Raises
    ------
    SourceError
        If no library can write the array's codecs.
    """
    name = array_file(metadata)
    alone = json.dumps({**metadata, "shape": list(voxels.shape)}).encode()
    files: dict[str, bytes]
    try:
        files = _by_tensorstore(name, alone, voxels)
    except (ValueError, NotImplementedError):
        try:
            files = _by_zarr(name, alone, voxels)
        except Exception as error:  # zarr-python passes on the errors of its many codecs
            raise SourceError(f"An array like this one cannot be written: {first_line(error)}") from error
    (data,) = (data for key, data in files.items() if key != name)
    return data


def _by_tensorstore(name: str, metadata: bytes, voxels: np.ndarray) -> dict[str, bytes]:
    import tensorstore as ts

    context = ts.Context({"cache_pool": {"total_bytes_limit": 0}})
    files = ts.KvStore.open({"driver": "memory"}, context=context).result()
    files.write(name, metadata).result()
    spec = {
        "driver": "zarr" if name == ".zarray" else "zarr3",
        "kvstore": {"driver": "memory"},
        "store_data_equal_to_fill_value": True,
    }
    ts.open(spec, open=True, context=context).result().write(voxels).result()
    return {key.decode(): files.read(key).result().value for key in files.list().result()}


def _by_zarr(name: str, metadata: bytes, voxels: np.ndarray) -> dict[str, bytes]:
    import zarr
    from zarr.core.buffer import cpu

    files: dict[str, Any] = {name: cpu.Buffer.from_bytes(metadata)}
    store = zarr.storage.MemoryStore(files)
    array: Any = zarr.open_array(store, mode="r+", zarr_format=2 if name == ".zarray" else 3)
    array.with_config({"write_empty_chunks": True})[...] = voxels
    return {key: data.to_bytes() for key, data in files.items() if key not in (".zattrs", ".zgroup")}
