"""Defects planted in OME-Zarr images of any writer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

_METADATA = {".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json"}


class Store:
    """An image whose metadata and files are changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = next(path / name for name in (".zattrs", "zarr.json") if (path / name).is_file())
        self._document: dict[str, Any] = json.loads(self._file.read_text())
        found = self._document if self._file.name == ".zattrs" else self._document["attributes"]["ome"]
        self.attributes: dict[str, Any] = found
        self.image: dict[str, Any] = found["multiscales"][0]

    def save(self) -> None:
        self._document.pop("consolidated_metadata", None)
        self._file.write_text(json.dumps(self._document))
        (self.path / ".zmetadata").unlink(missing_ok=True)

    @property
    def axes(self) -> list[dict[str, Any]]:
        axes: list[dict[str, Any]] = self.image.get("axes") or self.image["coordinateSystems"][0]["axes"]
        return axes

    @property
    def levels(self) -> list[Path]:
        return [self.path / dataset["path"] for dataset in self.image["datasets"]]

    def parts(self, level: int) -> list[dict[str, Any]]:
        """The scale and translation of a level, to be changed in place."""
        own: list[dict[str, Any]] = self.image["datasets"][level]["coordinateTransformations"]
        return own[0]["transformations"] if own[0]["type"] == "sequence" else own

    def numbers(self, level: int, kind: str) -> list[float]:
        """A scale or translation, to be changed in place; it is added where there is none."""
        parts = self.parts(level)
        if kind not in [part["type"] for part in parts]:
            own = self.image["datasets"][level]["coordinateTransformations"]
            added = {"type": kind, kind: [0.0] * len(self.axes)}
            if "coordinateSystems" in self.image and own[0]["type"] != "sequence":
                ends = {key: own[0].pop(key) for key in ("input", "output")}
                own[0] = {"type": "sequence", "transformations": [own[0]], **ends}
            self.parts(level).append(added)
            parts = self.parts(level)
        found: list[float] = next(part[kind] for part in parts if part["type"] == kind)
        return found

    def chunks(self, level: int) -> list[Path]:
        """The files of chunks or shards."""
        found = [p for p in self.levels[level].rglob("*") if p.is_file() and p.name not in _METADATA]
        return sorted(found)

    def array(self, level: int) -> Any:
        return zarr.open_array(self.levels[level], mode="r+")

    def rewrite(self, level: int, voxels: np.ndarray) -> None:
        """Write a level again, with voxels of another kind."""
        old = self.array(level)
        options: dict[str, Any] = {"zarr_format": old.metadata.zarr_format, "chunks": old.chunks, "fill_value": 0}
        if old.metadata.zarr_format == 2:
            options["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
        else:
            options["dimension_names"] = old.metadata.dimension_names
        shutil.rmtree(self.levels[level])
        made = zarr.create_array(self.levels[level], shape=voxels.shape, dtype=voxels.dtype, **options)
        made[...] = voxels


@dataclass(frozen=True)
class Defect:
    """A defect, the codes of which at least one must be found, and whether voxels must be read for that."""

    plant: Callable[[Store], object]
    codes: frozenset[str]
    deep: bool = False


DEFECTS: dict[str, Defect] = {}


def defect(*codes: str, deep: bool = False) -> Callable[[Callable[[Store], object]], Callable[[Store], object]]:
    def add(plant: Callable[[Store], object]) -> Callable[[Store], object]:
        DEFECTS[plant.__name__.replace("_", " ")] = Defect(plant, frozenset(codes), deep)
        return plant

    return add


@defect("version-unknown")
def newer_version(store: Store) -> None:
    (store.image if "version" in store.image else store.attributes)["version"] = "0.9"


@defect("axes-names", "coordinate-systems")
def two_axes_of_one_name(store: Store) -> None:
    store.axes[0]["name"] = store.axes[1]["name"]


@defect("axes-missing", "coordinate-systems")
def no_axes(store: Store) -> None:
    store.axes.clear()


@defect("axes-order", "axes-space")
def axes_in_a_wrong_order(store: Store) -> None:
    store.axes[-1]["type"] = "time"


@defect("unit-unknown")
def unknown_unit(store: Store) -> None:
    store.axes[-1]["unit"] = "um"


@defect("scale-shape")
def scale_of_another_level(store: Store) -> None:
    store.numbers(1, "scale")[-1] *= 4


@defect("scale-invalid")
def scale_of_zero(store: Store) -> None:
    store.numbers(0, "scale")[-1] = 0.0


@defect("scale-missing", "coordinate-systems")
def no_scale(store: Store) -> None:
    del store.image["datasets"][1]["coordinateTransformations"]


@defect("translation")
def translation_far_away(store: Store) -> None:
    store.numbers(1, "translation")[-1] += 100 * store.numbers(1, "scale")[-1]


@defect("translation-method", deep=True)
def translation_half_a_voxel_off(store: Store) -> None:
    moved = store.numbers(1, "translation")
    size = store.numbers(0, "scale")[-1]
    moved[-1] += size / 2 if moved[-1] < size / 4 else -size / 2


@defect("level-missing")
def level_without_an_array(store: Store) -> None:
    shutil.rmtree(store.levels[-1])


@defect("level-order")
def levels_in_a_wrong_order(store: Store) -> None:
    store.image["datasets"].reverse()


@defect("dimensions", "coordinate-systems")
def an_axis_too_many(store: Store) -> None:
    store.axes.insert(0, {"name": "c", "type": "channel"})


@defect("files-missing", "chunk-missing")
def missing_file(store: Store) -> None:
    store.chunks(0)[0].unlink()


@defect("chunk-missing", deep=True)
def missing_file_where_the_next_level_has_voxels(store: Store) -> None:
    store.chunks(0)[-1].unlink()


@defect("file-empty")
def file_without_a_byte(store: Store) -> None:
    store.chunks(1)[0].write_bytes(b"")


@defect("chunk-damaged", deep=True)
def damaged_chunk(store: Store) -> None:
    file = store.chunks(0)[1]
    data = bytearray(file.read_bytes())
    data[: len(data) // 2] = bytes(len(data) // 2)
    file.write_bytes(data)


@defect("file-stray")
def file_of_no_chunk(store: Store) -> None:
    (store.chunks(0)[0].parent / "99999").write_bytes(b"left over")


@defect("file-size")
def file_much_too_large(store: Store) -> None:
    with store.chunks(0)[0].open("ab") as file:
        file.write(bytes(3_000_000))


@defect("array-unlisted")
def level_that_is_not_listed(store: Store) -> None:
    store.image["datasets"].pop()


@defect("level-differs", "level-unrelated", deep=True)
def voxels_of_another_place(store: Store) -> None:
    array = store.array(1)
    voxels = array[...]
    part = tuple(slice(n // 2) for n in voxels.shape)
    voxels[part] = np.flip(voxels[part])
    array[...] = voxels


@defect("level-unrelated", deep=True)
def a_level_of_other_voxels(store: Store) -> None:
    array = store.array(1)
    array[...] = np.flip(array[...])


@defect("types-differ")
def a_level_of_another_type(store: Store) -> None:
    last = len(store.levels) - 1
    store.rewrite(last, store.array(last)[...].astype("f4" if store.array(0).dtype != "f4" else "u1"))


@defect("window-outside", deep=True)
def a_window_that_shows_nothing(store: Store) -> None:
    window = {"start": 50_000, "end": 60_000, "min": 50_000, "max": 60_000}
    store.attributes["omero"] = {"channels": [{"color": "FFFFFF", "window": window}]}


@defect("window")
def an_empty_window(store: Store) -> None:
    window = {"start": 60, "end": 60, "min": 0, "max": 60}
    store.attributes["omero"] = {"channels": [{"color": "FFFFFF", "window": window}]}


def plant(name: str, path: Path) -> Defect:
    """Plant a defect in the image at a path."""
    store = Store(path)
    found = DEFECTS[name]
    found.plant(store)
    store.save()
    return found
