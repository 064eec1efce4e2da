"""What to open as one volume: a folder of slices, slices that a user opens together, or a file that is a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from napari_ct_pyramid.sources.grouping import holds, slices_in, volume_of_slice, volumes_of_slices
from napari_ct_pyramid.storage.paths import any_path

from .viewer_hooks import files_being_opened, is_opened_in_window


@dataclass(frozen=True)
class Opening:
    """What to open.

    Attributes
    ----------
    input : str
        The INPUT of the volume.
    notice : str
        What to tell the user about it; may be empty.
    is_open : bool
        Whether another of the files that are opened together has opened the volume.
    """

    input: str
    notice: str = ""
    is_open: bool = False


def source_of(paths: Sequence[str]) -> Opening | None:
    """The volume that files or a folder are; None if they are something else.

    Parameters
    ----------
    paths : sequence of str
        One path; or several that napari is to stack.
    """
    if len(paths) != 1:
        volumes = volumes_of_slices(paths)
        found = {volumes.get(path) for path in paths}
        volume = found.pop() if len(found) == 1 else None
        return Opening(volume) if volume else None
    path = any_path(paths[0])
    if not isinstance(path, Path):
        return None
    try:
        if path.is_dir():
            slices = None if _is_zarr(path) else slices_in(path)
            return Opening(slices) if slices else None
        if not path.is_file():
            return None
    except OSError:
        return None
    what = holds(path)
    if what == "volume":
        return Opening(str(path))
    return _opened_together(str(path)) if what == "slice" and is_opened_in_window() else None


def offer_all_slices(file: Path) -> None:
    """If a file is one slice of a volume, offer to open the volume."""
    volume = volume_of_slice(file)
    if volume is None:
        return
    from .notices import offer

    where = file.parent.name if Path(volume) == file.parent else Path(volume).name
    offer(
        f"This is one slice of {where}.",
        {"Open all slices": lambda: open_source_layer(volume)},
    )


def open_source_layer(source: str) -> None:
    """Open an INPUT in the active window, and fill in the converter."""
    import napari
    from napari.layers import Layer
    from napari.utils.notifications import show_error

    from napari_ct_pyramid.errors import CtPyramidError, sentence

    from .after_opening import prepare_layers
    from .layers import source_layer
    from .viewer_hooks import layer_source
    from .wording import wording

    viewer = napari.current_viewer()
    if viewer is None:
        return
    try:
        data = source_layer(Path(source))
    except CtPyramidError as error:
        show_error(sentence(error, wording))
        return
    with layer_source(Path(source)):
        viewer.add_layer(Layer.create(*data))
    prepare_layers(convertible=source)


def _is_zarr(folder: Path) -> bool:
    from napari_ct_pyramid.omezarr.kind import kind_of

    return kind_of(folder) is not None


def _opened_together(file: str) -> Opening | None:
    """The volume of a slice, if the user opens several of its slices together."""
    chosen = files_being_opened()
    volumes = _volumes_of(tuple(chosen), tuple({_changed(Path(path).parent) for path in chosen}))
    volume = volumes.get(file)
    if volume is None:
        return None
    of_volume = [path for path in chosen if volumes.get(path) == volume]
    where = Path(volume)
    notice = f"{len(of_volume):,} slices: one volume, with all slices of {where.name} in {where.parent}."
    return Opening(volume, notice, is_open=file != of_volume[0])


# napari asks for each file in turn, and the answer needs a look at all of them.
@lru_cache(maxsize=1)
def _volumes_of(paths: tuple[str, ...], _folders: tuple[int, ...]) -> dict[str, str]:
    return volumes_of_slices(paths)


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0
