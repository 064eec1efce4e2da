"""The volumes that are converted, each made when it is first needed, as the kinds of file that the peers read."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import big_tiff
import numpy as np


@dataclass(frozen=True)
class File:
    """A volume with noise and texture. The disk holds `stored` slices, which its pages share."""

    shape: tuple[int, int, int]
    dtype: str = "float32"
    lzw: bool = False
    stored: int = 32
    noise: float = 0.05
    texture: Path | None = None
    alone: bool = False  # no peer converts it

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    def __str__(self) -> str:
        compressed = ", LZW-compressed" if self.lzw else ""
        return f"{self.nbytes / 1e9:.2f} GB, {' × '.join(map(str, self.shape))} {self.dtype}{compressed}"

    def make(self, form: str, folder: Path) -> Path:
        """The volume as a "plain TIFF" or an "OME-TIFF" with the same voxels. Makes the file if it is not there."""
        parts = [*map(str, self.shape), self.dtype, f"{self.noise:g}", str(self.stored)]
        parts += ["lzw"] * self.lzw + ([self.texture.stem] if self.texture else [])
        name = "-".join(parts).replace(".", "_")
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
    "tiny": File((196, 256, 256)),  # for trying things out; its depth is not a multiple of 8
    "1g": File((256, 1024, 1024)),
    "4g": File((1024, 1024, 1024)),
    "13g": File((512, 2560, 2560)),
    "u16": File((1280, 1280, 1280), "uint16"),
    "lzw": File((1024, 1024, 1024), "uint8", lzw=True, noise=0.02),  # more noise would make LZW larger than the voxels
    "56g": File((2160, 2560, 2560), alone=True),
}
