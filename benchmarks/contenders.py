"""The converters that are compared, with their commands: this one, the raw limits, the plain algorithm, the peers."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHUNK = 128


@dataclass(frozen=True)
class Contender:
    """A peer.

    Attributes
    ----------
    script : str
        Called as `python SCRIPT SOURCE OUT --levels N --chunk 128 --threads N`.
    packages : tuple of str
        Installed in its environment.
    given, form : str
        How it gets the volume: in words, and as the kind of file.
    python : (int, int)
        The oldest Python that it supports.
    """

    name: str
    script: str
    packages: tuple[str, ...]
    given: str = "the TIFF"
    form: str = "plain TIFF"
    python: tuple[int, int] = (3, 11)

    def command(self, python: str | Path, source: Path, out: Path, levels: int, threads: int) -> list[str]:
        script = [str(python), "-E", str(HERE / "peers" / self.script), str(source), str(out)]
        return [*script, "--levels", str(levels), "--chunk", str(CHUNK), "--threads", str(threads)]


def ours(budget: str, source: Path, out: Path, levels: int, threads: int) -> list[str]:
    command = [sys.executable, "-m", "napari_ct_pyramid", "convert", str(source), str(out), "--quiet"]
    command += ["-c", *[str(CHUNK)] * 3, "-l", str(levels), "--threads", str(threads)]
    return [*command, "--max-memory", budget]


def raw_limit(script: str, source: Path, out: Path, threads: int) -> list[str]:
    return [sys.executable, str(HERE / script), str(source), str(out), "--threads", str(threads)]


def plain(source: Path, out: Path, levels: int, slices: int) -> list[str]:
    command = [sys.executable, str(HERE / "plain.py"), str(source), str(out), "--levels", str(levels)]
    return [*command, "--slices", str(slices)]


# For peers that do not read TIFF themselves. imagecodecs decodes compressed files.
TIFF = ("tifffile", "imagecodecs")
DASK = "its pages, as a dask array"

RAW_LIMITS = {
    "raw limit: tensorstore writes level 0 alone": "raw_limit.py",
    "raw limit: zarr-python with zarrs writes level 0 alone": "zarrs_limit.py",
}

PEERS = {
    peer.script.removeprefix("with_").removesuffix(".py"): peer
    for peer in (
        Contender("EuBI-Bridge", "with_eubi_bridge.py", ("eubi-bridge-lite",)),
        Contender("ngff-zarr", "with_ngff_zarr.py", ("ngff-zarr", *TIFF), DASK),
        Contender("ome-zarr-py", "with_ome_zarr.py", ("ome-zarr", *TIFF), DASK),
        Contender("stack-to-chunk", "with_stack_to_chunk.py", ("stack-to-chunk", *TIFF), DASK),
        Contender(
            "ome-zarr-pyramid",
            "with_ome_zarr_pyramid.py",
            ("ome-zarr-pyramid", "micro-reader[codecs]"),
            "OME-TIFF (of a plain TIFF it reads only the first page)",
            "OME-TIFF",
        ),
        Contender("acquire-zarr", "with_acquire_zarr.py", ("acquire-zarr", *TIFF), "its pages, one at a time"),
        Contender("bioio-conversion", "with_bioio_conversion.py", ("bioio-conversion", "bioio-tifffile", *TIFF)),
        Contender(
            "bioio-conversion, own layout",
            "with_bioio_conversion_layout.py",
            ("bioio-conversion", "bioio-tifffile", *TIFF),
        ),
        Contender("OpenReadout", "with_openreadout.py", ("openreadout",)),
        # For older Pythons pip installs an old zarrify.
        Contender("zarrify", "with_zarrify.py", ("zarrify",), python=(3, 12)),
    )
}
