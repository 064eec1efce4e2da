"""Validates the metadata of an image by the models of ome-zarr-models."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from napari_ct_pyramid.storage.paths import AnyPath

from .array import zarr_store
from .kind import ZARR_FILES
from .versions import numbers_of

_MODULES = {(0, 4): "v04", (0, 5): "v05", (0, 6): "v06"}


def load_models() -> None:
    """Import the models, so that the memory that they take can be measured before they are used."""
    for numbers in _MODULES:
        _module(numbers)


def can_validate(version: str) -> bool:
    """Whether the installed ome-zarr-models knows a version: 0.6 takes ome-zarr-models 1.8 on Python 3.12 or newer."""
    numbers = numbers_of(version)
    return numbers is not None and _module(numbers) is not None


def flaw_in(path: AnyPath, version: str) -> str | None:
    """What ome-zarr-models finds wrong with an image; None if that is nothing, or if it does not know the version."""
    import zarr

    numbers = numbers_of(version)
    module = _module(numbers) if numbers else None
    if module is None:
        return None
    if odd := _no_ordinary_file(path):
        return f"{odd} is not an ordinary file"
    try:
        group = zarr.open_group(zarr_store(path), mode="r", zarr_format=2 if numbers == (0, 4) else 3)
        module.Image.from_zarr(group)
    except Exception as error:  # noqa: BLE001  errors of pydantic, zarr and ome-zarr-models
        return " ".join(str(error).split())[:200]
    return None


def _no_ordinary_file(path: AnyPath) -> AnyPath | None:
    """Metadata on a disk that are a pipe or the like, for which zarr-python would wait for ever."""
    if not isinstance(path, Path):
        return None
    folders = [path, *(entry for entry in path.iterdir() if entry.is_dir())]
    files = (folder / name for folder in folders for name in (*ZARR_FILES, ".zmetadata"))
    return next((file for file in files if file.exists() and not (file.is_file() or file.is_dir())), None)


def _module(numbers: tuple[int, int]) -> Any:
    name = _MODULES.get(numbers)
    try:
        return import_module(f"ome_zarr_models.{name}.image") if name else None
    except ImportError:
        return None
