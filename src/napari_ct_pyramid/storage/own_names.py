"""Names beside an output that this package uses while it writes there, and errors where it cannot have them."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from napari_ct_pyramid.errors import OutputExistsError, RequestError

_LONGEST_NAME = 200  # bytes; file systems allow 255


def beside(output: Path, ending: str) -> Path:
    """A hidden path beside an output, for this package's own use."""
    target = output.resolve()
    name = target.name
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = sha256(os.fsencode(name)).hexdigest()
    return target.with_name(f".{name}.{ending}")


def in_the_way(path: Path, purpose: str) -> OutputExistsError:
    """The error for something that has a name of ours, and that this program did not make.

    Parameters
    ----------
    path : Path
    purpose : str
        What the name is for: "a lock".
    """
    return OutputExistsError(
        f"{path} is in the way: this program uses that name for {purpose}, and did not make what is there. Move it to "
        "another name, and try again.",
        replaceable=False,
    )


def cannot_be_changed(path: Path) -> RequestError:
    """The error for an image beside which no lock can be made."""
    return RequestError(
        f"{path} cannot be changed: a lock file lies beside it meanwhile, and the folder {path.resolve().parent} "
        "cannot be written to. Get the permission to write there, or copy it to a folder of yours and change the copy."
    )
