"""Files in a zip archive: read-only."""

from __future__ import annotations

from napari_ct_pyramid.errors import RequestError

from .object_store import ObjectStorage
from .zip_path import ZipPath


class ZipStorage(ObjectStorage):
    """A member of a zip archive, or all members below a path. See `Storage`."""

    def __init__(self, path: ZipPath) -> None:
        super().__init__(path)
        self._zip_path = path

    def check_place(self) -> None:
        raise RequestError(f"{self._zip_path.archive} is a zip archive, which is only read. Name another output.")

    def check_change(self) -> None:
        raise RequestError(
            f"{self._zip_path.archive} is a zip archive, which is only read. Export it to an .ome.zarr, change that, "
            "and pack it again by another export."
        )

    def version(self) -> tuple[int, ...] | None:
        return self._zip_path.version()
