"""Compares the files of an image in a zip archive with the checksums of the archive.

Reading voxels does not: it reads a part of a file, and a wrong byte of a chunk that is not compressed can be decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from napari_ct_pyramid.storage.zip_path import ZipPath

from .findings import Report
from .image import Image


def packed_file_tasks(image: Image, report: Report) -> Iterator[Callable[[], None]]:
    """A task for each file of an image in a zip archive, which reports whether it is damaged; none for other images."""
    if isinstance(image.path, ZipPath):
        for path, _ in image.path.below():
            yield partial(_check, image.path, path, report)


def _check(image: ZipPath, path: ZipPath, report: Report) -> None:
    try:
        path.check()
    except OSError as error:
        name = path.url.removeprefix(f"{image.url}/")
        report.error("file-damaged", f"{name} is damaged: {error.strerror or error}")
