"""Makes sure that an export can be written to its output, and that nothing of the user's is lost."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from napari_ct_pyramid.conversion.output import check_apart
from napari_ct_pyramid.errors import Advice, OutputExistsError, RequestError
from napari_ct_pyramid.model.formatting import first_names
from napari_ct_pyramid.sources.inputs import SourceLike
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import AnyPath
from napari_ct_pyramid.storage.zip_path import ZipPath

from .kinds import SLICES, Kind
from .slices import others_in
from .targets import cut_off, voxels_beside


def check_place(src: SourceLike, files: Iterable[AnyPath], output: Path, kind: Kind, *, overwrite: bool) -> None:
    """Make sure that an export can be written.

    Parameters
    ----------
    src : path or array
    files : iterable of path
        The files of the source.
    output : Path
    kind : Kind
    overwrite : bool
        Whether an output that exists may be replaced.

    Raises
    ------
    RequestError
        If it cannot: it exists (`OutputExistsError`), it is the source, or it cannot lie there.
    """
    check_apart(src, output)
    storage_of(output).check_place()
    written = [output, *([voxels_beside(output)] if _has_header(output) else [])]
    on_disk = [file.archive if isinstance(file, ZipPath) else file for file in files]
    read = {place for file in on_disk if isinstance(file, Path) for place in (file.resolve(), *file.resolve().parents)}
    for path in written:
        if path.resolve() in read:
            raise RequestError(f"The export would replace {path}, which the input is read from. Choose another name.")
    for path in written:
        if path.is_symlink():
            raise OutputExistsError(
                f"{path} is a link, and what it leads to would be replaced. It is left alone: choose another name, or "
                f"name {path.resolve()} itself.",
                replaceable=False,
            )
    if kind is SLICES:
        _check_folder(output, overwrite=overwrite)
        return
    for path in written:
        if path.is_dir():
            raise OutputExistsError(
                f"There is a folder with the name of the output, {path}. It is left alone: choose another name.",
                replaceable=False,
            )
    if _has_header(output):
        _check_voxels(output)
    if any(storage_of(path).exists() for path in written) and not overwrite:
        raise _exists(output)


def _has_header(output: Path) -> bool:
    return output.suffix.lower() == ".mhd"


def _check_voxels(header: Path) -> None:
    """Voxels that exist already are replaced only with the header that names them."""
    voxels = voxels_beside(header)
    if storage_of(voxels).exists() and not _names(header, voxels) and not cut_off(header):
        raise OutputExistsError(
            f"The voxels of {header.name} would be written to {voxels}, which exists already and belongs to something "
            "else. It is left alone: choose another name.",
            replaceable=False,
        )


def _names(header: Path, voxels: Path) -> bool:
    """Whether a header states that its voxels are in a file beside it."""
    try:
        with header.open("rb") as file:
            lines = file.read(65_536).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return False
    pairs = (line.partition("=") for line in lines)
    return any(key.strip() == "ElementDataFile" and Path(value.strip()) == Path(voxels.name) for key, _, value in pairs)


def _check_folder(output: Path, *, overwrite: bool) -> None:
    if not storage_of(output).exists():
        return
    if not output.is_dir():
        raise OutputExistsError(
            f"The output {output} is to be a folder of slices, and there is a file of that name. It is left alone: "
            "choose another name.",
            replaceable=False,
        )
    others = others_in(output)
    if others:
        raise OutputExistsError(
            f"The folder {output} exists already, with files that no export wrote: {first_names(others)}. It is left "
            "alone: choose another name.",
            replaceable=False,
        )
    if any(output.iterdir()) and not overwrite:
        raise _exists(output)


def _exists(output: Path) -> OutputExistsError:
    return OutputExistsError(
        f"The output {output} exists already. Ask to overwrite it (",
        Advice("overwrite", True),
        "), or choose another name.",
    )
