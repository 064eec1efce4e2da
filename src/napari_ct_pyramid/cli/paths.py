"""The paths of a command line: which ones are inputs, which one is the output, and which files a pattern names."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence

from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.sources.formats import TIFF
from napari_ct_pyramid.storage.paths import INSIDE, AnyPath, any_path
from napari_ct_pyramid.storage.remote_path import RemotePath


def split_output(paths: Sequence[AnyPath], output_dir: AnyPath | None) -> tuple[list[AnyPath], AnyPath | None]:
    """The inputs and the output among the paths of `convert`.

    With an output folder, all paths are inputs. Without one, the first is the input, and the second is the output.

    Raises
    ------
    RequestError
        If there are several inputs, but no folder for their outputs.
    """
    if output_dir is not None:
        return expand(paths), None
    first, *others = paths
    if len(others) > 1 or any(path.suffix.lower() in TIFF.endings and path != first for path in others):
        raise RequestError(
            f"{others[-1]} is one input too many. To convert the inputs one by one, name a folder for their outputs: "
            "--output-dir DIR. To make one volume of many slices, name their folder, or put a pattern of their names "
            "in quotes."
        )
    return [first], others[0] if others else None


def expand(paths: Iterable[AnyPath]) -> list[AnyPath]:
    """Replace each pattern by the files that match it. Not every shell does this, and no shell does it within quotes.

    Raises
    ------
    RequestError
        If nothing matches.
    """
    found: list[AnyPath] = []
    for path in paths:
        if isinstance(path, RemotePath) or os.path.lexists(path) or not glob.has_magic(str(path)):
            found.append(path)
            continue
        pattern, *inside = str(path).split(INSIDE, 1)
        matches = sorted(glob.glob(pattern))  # noqa: PTH207  Path has no patterns of whole paths
        if not matches:
            raise RequestError(f"No file matches {path}. Try its full path.")
        found += [any_path(INSIDE.join([match, *inside])) for match in matches]
    return list(dict.fromkeys(found))
