"""The volumes that are converted, each made on first use, in the forms that some peers need."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import big_tiff
import numpy as np


@dataclass(frozen=True)
class File:
    """A volume with noise and texture; `stored` slices of it are on disk, and shared by its pages."""

    shape: tuple[int, int, int]
    dtype: str = "float32"
    lzw: bool = False
    stored: int = 32
    noise: float = 0.05
    texture: Path | None = None
    alone: bool = False  # for this converter and the raw limit only

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    def __str__(self) -> str:
        packed = ", LZW-compressed" if self.lzw else ""
        return f"{self.nbytes / 1e9:.2f} GB, {' × '.join(map(str, self.shape))} {self.dtype}{packed}"

    def make(self, form: str, folder: Path) -> Path:
        """The file in a form ("plain TIFF" or "OME-TIFF"), made unless it is there; the voxels are the same."""
        words = [*map(str, self.shape), self.dtype, f"{self.noise:g}", str(self.stored)]
        words += ["lzw"] * self.lzw + ([self.texture.stem] if self.texture else [])
        name = "-".join(words).replace(".", "_")
        path = folder / (name + {"plain TIFF": ".tif", "OME-TIFF": ".ome.tif"}[form])
        if not path.exists():
            unfinished = path.with_suffix(".part")
            ome = form == "OME-TIFF"
            big_tiff.write(
                unfinished, self.shape, self.stored, self.noise, self.texture, self.dtype, lzw=self.lzw, ome=ome
            )
            unfinished.replace(path)
        return path


FILES = {
    "tiny": File((196, 256, 256)),  # to try things out; its depth is no multiple of 8
    "1g": File((256, 1024, 1024)),
    "4g": File((1024, 1024, 1024)),
    "13g": File((512, 2560, 2560)),
    "u16": File((1280, 1280, 1280), "uint16"),
    "lzw": File((1024, 1024, 1024), "uint8", lzw=True, noise=0.02),  # with more bits, LZW makes noise larger
    "56g": File((2160, 2560, 2560), alone=True),
}
