"""Whatever stands in the metadata of an output, in its journal and in its receipt, it ends in no error but ours."""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import napari_ct_pyramid as ct
from napari_ct_pyramid.cli.main import main
from napari_ct_pyramid.omezarr.kind import JOURNAL
from napari_ct_pyramid.storage.sealed import seal, unseal
from tests.helpers.omezarr import write_image
from tests.helpers.scans import OPTIONS, write_scan

pytestmark = pytest.mark.once

PATIENCE = 300  # seconds until a hang is shown; a call here takes less than one

FILES = {
    "0.4": (".zattrs", ".zgroup", "0/.zarray", JOURNAL, ".ct-pyramid/receipt.json"),
    "0.5": ("zarr.json", "0/zarr.json", JOURNAL, ".ct-pyramid/receipt.json"),
}
DEEP: Any = json.loads("[" * 900 + "]" * 900)
VALUES: list[Any] = [
    None, [], {}, "", "x", -1, 0, 1.5, 10**18, 10**73, True, [[[]]], [1, 2], {"a": 1}, "\x1b[31m", float("nan"), 1e308,
    [None] * 3, ["a", "b", "c"], [10**18] * 3, [0, 0, 0], [-1, 2, 3], "../..", DEEP,
]  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    yield at
    entries = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, below in entries:
        yield from places(below, (*at, key))


def changed(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    value = json.loads(json.dumps(value))
    holder = value
    for key in at[:-1]:
        holder = holder[key]
    holder[at[-1]] = new
    return value


def attack(file: Path, rng: random.Random) -> None:
    """Put something where it does not belong. If the file carries a checksum of itself, it is made to fit."""
    lines = file.read_bytes().splitlines(keepends=True) if file.suffix == ".jsonl" else [file.read_bytes()]
    number = rng.randrange(min(2, len(lines)))
    sealed = b'"crc32"' in lines[number]
    document = unseal(lines[number].rstrip(b"\n")) if sealed else json.loads(lines[number])
    at = rng.choice([place for place in places(document) if place or not sealed])
    document = changed(document, at, rng.choice(VALUES))
    lines[number] = (seal(document) if sealed else json.dumps(document).encode()) + b"\n"
    file.write_bytes(b"".join(lines))


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns or raises; it must not hang."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as error:  # noqa: BLE001
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it hangs"
    return found[0]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_value_of_another_kind_anywhere_ends_in_no_error_but_ours(
    tmp_path: Path, version: Any, times: Callable[[int], int], capfd: pytest.CaptureFixture[str]
) -> None:
    scan = write_scan(tmp_path)
    made = ct.convert(scan, tmp_path / "made.ome.zarr", **OPTIONS, ome_zarr_version=version).output
    output = tmp_path / "output.ome.zarr"
    calls: list[Callable[[], object]] = [
        lambda: ct.open_pyramid(output),
        lambda: ct.verify(output),
        lambda: ct.verify(output, scan),
        lambda: ct.plan(scan, output, **OPTIONS, overwrite=True),
        lambda: ct.plan(output, tmp_path / "other.ome.zarr", chunks=16),
        lambda: ct.plan_edit(output, name="x", voxel_size="1 um", window=(0, 1)),
        lambda: main(["info", str(output)]),
    ]
    for seed in range(times(8)):
        rng = random.Random(seed)
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(made, output)
        attack(output / rng.choice(FILES[version]), rng)
        for call in calls:
            with suppress(ct.CtPyramidError):
                call()
        said = capfd.readouterr()
        assert "\x1b" not in said.out + said.err
        assert "Traceback" not in said.err


@pytest.mark.parametrize("path", ["../other.zarr/0", "/0", "0/../../other.zarr/0"])
def test_a_level_outside_of_the_image_is_refused(tmp_path: Path, path: str) -> None:
    import numpy as np

    write_image(tmp_path / "other.zarr", [np.zeros((4, 8, 8), "u1")])
    image = write_image(tmp_path / "image.zarr", [np.zeros((4, 8, 8), "u1")])
    attributes = json.loads((image / ".zattrs").read_text())
    attributes["multiscales"][0]["datasets"][0]["path"] = path
    (image / ".zattrs").write_text(json.dumps(attributes))
    with pytest.raises(ct.SourceError):
        ct.open_pyramid(image)
    with pytest.raises(ct.SourceError):
        ct.plan(image, tmp_path / "new.ome.zarr", chunks=4)


@pytest.mark.parametrize("linked", ["a level", "a slice", "a chunk", "a folder of chunks", "metadata", "an array"])
def test_a_link_out_of_the_source_is_followed_only_if_asked(tmp_path: Path, linked: str) -> None:
    import numpy as np
    import tifffile

    voxels = np.arange(4 * 8 * 8, dtype="u2").reshape(4, 8, 8)
    (tmp_path / "elsewhere").mkdir()
    place = ""
    if linked != "a slice":
        source = write_image(tmp_path / "image.zarr", [voxels])
        place = "::/0" if linked == "an array" else ""
        below = {"a chunk": "0/0/0/0", "a folder of chunks": "0/0", "metadata": "0/.zarray"}
        inside = source / below.get(linked, "0")
    else:
        source = tmp_path / "slices"
        source.mkdir()
        for z, one in enumerate(voxels):
            tifffile.imwrite(source / f"slice_{z}.tif", one)
        inside = source / "slice_2.tif"
    outside = inside.rename(tmp_path / "elsewhere" / inside.name)
    inside.symlink_to(outside, target_is_directory=outside.is_dir())
    with pytest.raises(ct.SourceError) as caught:
        ct.plan(f"{source}{place}", tmp_path / "new.ome.zarr", chunks=4)
    assert ct.errors.Advice("follow_links", True) in caught.value.message.parts
    output = ct.convert(f"{source}{place}", tmp_path / "new.ome.zarr", chunks=4, follow_links=True).output
    assert np.array_equal(ct.open_pyramid(output).levels[0].array[:], voxels)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("key", [".zattrs", "0/.zarray", "0/0/0/0", JOURNAL, ".ct-pyramid/receipt.json", ".zmetadata"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path, key: str) -> None:
    scan = write_scan(tmp_path)
    output = ct.convert(scan, tmp_path / "made.ome.zarr", **OPTIONS).output
    assert isinstance(output, Path)
    (output / key).unlink(missing_ok=True)
    os.mkfifo(output / key)
    found = outcome(lambda: ct.verify(output))
    assert isinstance(found, ct.CtPyramidError) or found.problems
    assert outcome(lambda: main(["info", str(output)])) in (0, 1, 2)
    calls: list[Callable[[], object]] = [
        lambda: ct.plan_edit(output, name="x"),
        lambda: ct.plan(output, tmp_path / "other.ome.zarr", chunks=16),
        lambda: ct.convert(scan, output, chunks=16, overwrite=True),
    ]
    for call in calls:
        found = outcome(call)
        assert isinstance(found, ct.CtPyramidError) or not isinstance(found, BaseException)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_among_slices_is_not_waited_for(tmp_path: Path) -> None:
    import numpy as np
    import tifffile

    (tmp_path / "slices").mkdir()
    for z in (0, 1, 3):
        tifffile.imwrite(tmp_path / "slices" / f"slice_{z}.tif", np.zeros((8, 8), "u2"))
    os.mkfifo(tmp_path / "slices" / "slice_2.tif")
    with pytest.raises(ct.SourceError):
        ct.plan(tmp_path / "slices", tmp_path / "new.ome.zarr", chunks=4)
