"""The choice of one volume from a source that has several: one for each channel and each time point."""

from __future__ import annotations

from collections.abc import Mapping

from napari_ct_pyramid.errors import Advice, Part, RequestError, SeveralVolumesError
from napari_ct_pyramid.model.formatting import count
from napari_ct_pyramid.options import SourceOptions

_NAMES = {"channel": "channel", "time": "time point"}


def choose(where: object, sizes: Mapping[str, int], options: SourceOptions) -> dict[str, int]:
    """The channel and the time point to read.

    Parameters
    ----------
    where : object
        The source, for messages.
    sizes : mapping
        How many the source has: ``{"channel": 3, "time": 20}``. It has one along an axis that is left out.
    options : SourceOptions

    Returns
    -------
    dict
        For ``"channel"`` and ``"time"`` the index, from 0.

    Raises
    ------
    SeveralVolumesError
        If there are several, and the options choose none.
    RequestError
        If there is none with the number that the options ask for.
    """
    asked = {"channel": options.channel, "time": options.time}
    for name, index in asked.items():
        size = sizes.get(name, 1)
        if index is not None and index >= size:
            numbers = f"which are numbered from 0 to {size - 1:,}" if size > 1 else "so leave this out"
            raise RequestError(
                f"{where} has {count(size, _NAMES[name])}, {numbers}: there is no {index:,} (",
                Advice(name), ").",
            )  # fmt: skip
    open_axes = [name for name, index in asked.items() if index is None and sizes.get(name, 1) > 1]
    if open_axes:
        have = " and ".join(count(sizes[name], _NAMES[name]) for name in open_axes)
        advice: list[Part] = []
        for name in open_axes:
            advice += [" and " if advice else "", Advice(name, 0)]
        raise SeveralVolumesError(
            f"{where} has {have}, and a volume has only z, y and x. Choose one, counted from 0 (",
            *advice,
            ").",
            channels=sizes.get("channel", 1),
            times=sizes.get("time", 1),
        )
    return {name: index or 0 for name, index in asked.items()}
