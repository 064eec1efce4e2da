"""One level of an OME-Zarr image, as an array to work with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_ct_pyramid.model.lazy_array import LazyArray

if TYPE_CHECKING:
    import numpy as np

    from napari_ct_pyramid.calibration import Calibration
    from napari_ct_pyramid.model.intensity import Rescale

    from .streaming import Block, MappedLevel


@dataclass(frozen=True)
class PyramidLevel:
    """One level of a pyramid; tuples have one entry an axis. It is read where it is sliced with an index or a step, and
    by ``numpy.asarray``.

    Attributes
    ----------
    path : str
        Path of the array, relative to the image.
    stored_shape : tuple of int
        Voxels along each axis as stored, padding included.
    dtype : numpy.dtype
        Of the voxels.
    chunks : tuple of int
        In voxels.
    scale : tuple of float
        Size of a voxel, in the units of the axes.
    translation : tuple of float
        Where the centre of the first voxel is, in the units of the axes.
    array : LazyArray
        The voxels, without the padding.
    axes : tuple of str
        Names, such as ``("z", "y", "x")``.
    units : tuple of (str or None)
        Of the axes.
    name : str
        Of the image.
    reduction : tuple of float
        Voxels of the finest level that one voxel spans, in a part of an image; empty in a whole image.
    start : tuple of int
        Where a part begins, in voxels of this level of the whole image; empty in a whole image.
    axis_types : tuple of (str or None)
        ``"space"``, ``"time"``, ``"channel"``; if empty, all are of space.
    is_labels : bool
        Whether each value names an object.
    calibration : Calibration or None
        What the voxels stand for.
    rescale : Rescale or None
        How grey values were stored as these voxels.
    """

    path: str
    stored_shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    array: LazyArray = field(repr=False, compare=False)
    axes: tuple[str, ...] = ()
    units: tuple[str | None, ...] = ()
    name: str = field(default="", compare=False)
    reduction: tuple[float, ...] = ()
    start: tuple[int, ...] = ()
    axis_types: tuple[str | None, ...] = ()
    is_labels: bool = False
    calibration: Calibration | None = None
    rescale: Rescale | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis, without padding."""
        return self.array.shape

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def nbytes(self) -> int:
        """Bytes of the voxels, without padding."""
        return self.array.nbytes

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, key: Any) -> LazyArray | np.ndarray:
        return self.array[key]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.array.__array__(dtype, copy)

    def to_dask(self) -> Any:
        """The voxels as they are stored, as a Dask array, without padding, in the chunks of the image.

        It knows no voxel size, and not what the voxels stand for (`calibration`).

        Raises
        ------
        RequestError
            If Dask is not installed (extra ``dask``).
        """
        from .libraries.convert import to_dask

        return to_dask(self)

    def to_xarray(self) -> Any:
        """The voxels as they are stored, as an xarray.DataArray over a Dask array.

        Its coordinates are the places of the voxels' centres, and their ``attrs["units"]`` the units. Its
        ``attrs["calibration"]`` states what the voxels stand for, as the option `calibration` of `convert` takes it.

        Raises
        ------
        RequestError
            If xarray or Dask is not installed (extras ``xarray`` and ``dask``).
        """
        from .libraries.convert import to_xarray

        return to_xarray(self)

    def blocks(
        self,
        *,
        max_memory: str | int = "1G",
        overlap: int | Sequence[int] = 0,
        block: Sequence[int | None] | None = None,
        threads: int | None = None,
        function: Callable[[Block], Any] | None = None,
    ) -> Iterator[Any]:
        """Stream the level: its blocks one after another, or what a function makes of each. Threads work ahead.

        Parameters
        ----------
        max_memory : str or int, default "1G"
            Resident memory of the process, with what it has now. It decides how large blocks are, and how many threads
            work.
        overlap : int or one for each axis, default 0
            Voxels around a block that are read with it. One number is along the axes of space.
        block : sequence, optional
            Voxels of a block along each axis; None along an axis: all of it. If not given, blocks are whole chunks of
            one channel and time point.
        threads : int, optional
            If not given, one for each core.
        function : callable, optional
            Called with each `Block` by a thread; what it returns is yielded in the order of the blocks.

        Yields
        ------
        Block
            With ``box`` (where it is), ``voxels`` (with the overlap) and ``inner`` (the block in them); or what
            `function` returns.

        Raises
        ------
        BudgetError
            If the budget is too small for a block.
        """
        from .streaming import iter_blocks

        return iter_blocks(
            self.array,
            max_memory=max_memory,
            overlap=overlap,
            block=block,
            threads=threads,
            function=function,
            kinds=self.axis_types,
        )

    def map_blocks(
        self,
        function: Callable[[np.ndarray], np.ndarray],
        *,
        overlap: int | Sequence[int] = 0,
        block: Sequence[int | None] | None = None,
        dtype: Any = None,
    ) -> MappedLevel:
        """The level with a function applied to its blocks: a lazy array, which is computed where it is read.

        ``ct.convert(level.map_blocks(function), "new.ome.zarr", chunks=128)`` streams it into a new OME-Zarr of the
        same voxel size and place, on all cores and within a budget; `numpy.asarray` computes all of it. A conversion
        computes each block about once. What the values stand for is not kept, since a function may change it.

        Parameters
        ----------
        function : callable
            Takes the voxels of a block, and returns an array of the same shape. Several threads call it at once.
        overlap : int or one for each axis, default 0
            Voxels around a block that the function gets, too: as many as it looks at in every direction. One
            number is along the axes of space.
        block : sequence, optional
            Voxels of a block along each axis; None along an axis: all of it. ``(16, None, None)`` are whole slices.
        dtype : optional
            Of the result. If not given, that of the level, which must be able to hold what the function returns. In a
            type of integers, fractions are rounded; values that do not fit are an error.
        """
        from .streaming import MappedLevel

        return MappedLevel(self, function, overlap=overlap, block=block, dtype=dtype)


def find_reduction(finest: PyramidLevel, level: PyramidLevel, axis: int) -> float:
    """Voxels of the finest level that one of this level spans: by the scales, or if they do not fit, by the shapes."""
    if level.reduction:
        return level.reduction[axis]
    by_shape = finest.stored_shape[axis] / level.stored_shape[axis]
    by_scale = level.scale[axis] / finest.scale[axis]
    return by_scale if abs(finest.stored_shape[axis] / by_scale - level.stored_shape[axis]) < 1 else by_shape
