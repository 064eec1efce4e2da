"""The line below the voxel size: where it comes from, or in amber what is missing."""

from __future__ import annotations

from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.plugin.wording import voxel_size_words
from napari_ct_pyramid.sources.voxel_size import NO_UNIT

from .parts import AMBER, text_label


class SizeNote:
    """A label, which is hidden while there is nothing to say.

    Attributes
    ----------
    label : QLabel
    """

    def __init__(self) -> None:
        self.label = text_label()
        self.label.hide()

    def show_origin(self, volume: Volume | None, *, typed: bool, from_file: bool) -> None:
        """Where the voxel size comes from.

        Parameters
        ----------
        volume : Volume or None
            None if it is not known yet.
        typed : bool
            Whether the user has typed a voxel size.
        from_file : bool
            Whether the field shows what the file states.
        """
        words, amber = "", False
        if volume and volume.voxel_size:
            stated = voxel_size_words(volume.voxel_size, volume.unit)
            words = f"typed; the file says {stated}" if typed or not from_file else _from(volume)
            if from_file and not volume.unit:
                words, amber = f"{_from(volume)}, without a unit: choose one", True
        elif volume and not typed:
            words, amber = "unknown: type it here", True
        self.say(words, amber=amber)

    def say(self, words: str, *, amber: bool) -> None:
        """Show some words; none hide the line."""
        self.label.setVisible(bool(words))
        self.label.setText(words)
        self.label.setStyleSheet(f"color: rgb({AMBER});" if amber else "")


def _from(volume: Volume) -> str:
    origin = (volume.voxel_size_from or "").removesuffix(NO_UNIT)
    return f"from the file ({origin})" if origin else "from the file"
