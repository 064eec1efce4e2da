"""What is wrong in the metadata of a finished OME-Zarr is set right without converting again."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import napari_ct_pyramid as ct
from napari_ct_pyramid.conversion import edit as edit_module
from napari_ct_pyramid.conversion.receipt import read_receipt
from napari_ct_pyramid.storage.local import LocalStorage
from napari_ct_pyramid.storage.sealed import seal
from tests.helpers.omezarr import pyramid_of, write_image, write_json, write_unfinished
from tests.helpers.pyramids import scales_of
from tests.helpers.scans import OPTIONS, VOXELS, small_blocks, write_scan

IMAGE = np.arange(16**3, dtype="u2").reshape(16, 16, 16)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)


def everything(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def group_file(path: Path) -> Path:
    return path / ("zarr.json" if (path / "zarr.json").exists() else ".zattrs")


def group(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(group_file(path).read_text(encoding="utf-8"))
    return value


def facts(path: Path) -> tuple[Any, ...]:
    pyramid = ct.open_pyramid(path)
    return pyramid.levels[0].scale, pyramid.units, pyramid.name, pyramid.window and pyramid.window[2:]


@pytest.mark.parametrize(
    ("version", "method", "size"),
    [
        *itertools.product(["0.4", "0.5"], ["mean", "stride"], ["650 nm", "0.3 0.65 1.3 um", "0.1mm"]),
        ("0.6", "mean", "0.3 0.65 1.3 um"),
    ],
)
def test_an_edit_makes_what_a_conversion_with_that_voxel_size_makes(
    tmp_path: Path, version: Any, method: Any, size: str
) -> None:
    asked = {**OPTIONS, "ome_zarr_version": version, "method": method}
    scan = write_scan(tmp_path)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    output = ct.convert(scan, tmp_path / "a" / "scan.ome.zarr", **asked, voxel_size="3 7 1.1 um").output
    expected = ct.convert(scan, tmp_path / "b" / "scan.ome.zarr", **asked, voxel_size=size).output
    edited = ct.edit(output, voxel_size=size)
    assert group(Path(output)) == group(Path(expected))
    assert edited.before.voxel_size == (3, 7, 1.1)
    assert (edited.after.voxel_size, edited.after.unit) == (
        ct.open_pyramid(expected).levels[0].scale,
        ct.open_pyramid(expected).units[0],
    )
    assert ct.verify(output, scan).problems == ()


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return Path(ct.convert(write_scan(tmp_path), **OPTIONS).output)


def test_every_fact_can_be_changed_and_the_rest_stays(output: Path) -> None:
    before, files = group(output), everything(output)
    ct.edit(output, voxel_size=0.65, unit="µm", name="Bone 7", window=(-1, 2.5))
    after = group(output)
    image, old = after["multiscales"][0], before["multiscales"][0]
    assert {axis["unit"] for axis in image["axes"]} == {"micrometer"}
    assert image["name"] == after["omero"]["channels"][0]["label"] == "Bone 7"
    window = after["omero"]["channels"][0]["window"]
    assert window == before["omero"]["channels"][0]["window"] | {"start": -1, "end": 2.5}
    assert {key: image[key] for key in ("type", "metadata", "version")} == {
        key: old[key] for key in ("type", "metadata", "version")
    }
    scales_of(output)
    now = everything(output)
    changed = {key for key in now if now[key] != files[key]}
    assert {Path(key).name for key in changed} == {".zattrs", "receipt.json"}
    assert now.keys() == files.keys()


def test_a_part_of_the_facts_leaves_the_others(output: Path) -> None:
    ct.edit(output, voxel_size="0.65 um")
    ct.edit(output, unit="mm")
    assert facts(output)[:2] == ((0.65,) * 3, ("millimeter",) * 3)
    ct.edit(output, voxel_size="1 2 3")  # in the unit that is known now
    assert facts(output)[:3] == ((1, 2, 3), ("millimeter",) * 3, "scan")
    ct.edit(output, name="A")
    ct.edit(output, window="0 1")
    assert facts(output) == ((1, 2, 3), ("millimeter",) * 3, "A", (0, 1))
    receipt = read_receipt(output)
    assert receipt is not None
    noted = {key: receipt["edited"][key] for key in ("voxel_size", "unit", "name", "window")}
    assert noted == {"voxel_size": [1, 2, 3], "unit": "millimeter", "name": "A", "window": [0, 1]}
    assert ct.verify(output).sound


def test_the_same_edit_again_changes_nothing(output: Path) -> None:
    ct.edit(output, voxel_size="0.1 um", window=(1, 2))
    once = group(output)
    again = ct.edit(output, voxel_size="0.1 um", window=(1, 2))
    assert again.before == again.after
    assert group(output) == once


@pytest.mark.parametrize("edited_first", [False, True])
def test_verify_finds_what_was_changed_by_hand_before_or_after_an_edit(output: Path, edited_first: bool) -> None:
    if edited_first:
        ct.edit(output, voxel_size="0.65 um")
    by_hand = group(output)
    by_hand["multiscales"][0]["metadata"]["original_shape"] = [1, 2, 3]
    write_json(output / ".zattrs", by_hand)
    if not edited_first:
        ct.edit(output, voxel_size="0.65 um")
    assert any("original_shape" in problem.what for problem in ct.verify(output).problems)


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_repair_keeps_what_was_edited(output: Path, monkeypatch: pytest.MonkeyPatch, interrupted: bool) -> None:
    scan = output.with_name("scan.tif")
    if interrupted:
        with monkeypatch.context() as patch:
            killed_after(2, patch)
            with pytest.raises(KeyboardInterrupt):
                ct.edit(output, voxel_size="0.65 um", name="Bone", window=(1, 2))
    else:
        ct.edit(output, voxel_size="0.65 um", name="Bone", window=(1, 2))
    edited = group(output)
    assert facts(output)[2] == "Bone"
    next(path for path in output.rglob("*") if path.name == "0" and path.is_file()).unlink()
    assert ct.verify(output, scan, repair=True).repaired
    assert group(output) == edited
    assert ct.verify(output, scan).problems == ()
    assert ct.edit(output, name="Bone").before == ct.edit(output, name="Bone").after


def test_a_new_conversion_knows_nothing_of_edits_of_the_output_before(output: Path) -> None:
    made = group(output)
    ct.edit(output, voxel_size="0.65 um", name="Bone")
    ct.convert(output.with_name("scan.tif"), **OPTIONS, overwrite=True)
    assert group(output) == made


def killed_after(writes: int, patch: pytest.MonkeyPatch, error: BaseException | None = None) -> list[str]:
    """Have the process end, or the disk fail, after some writes of whole files. The list gets their names."""
    made: list[str] = []
    replace = LocalStorage.replace

    def count(storage: LocalStorage, data: bytes) -> None:
        if len(made) == writes:
            raise error or KeyboardInterrupt
        replace(storage, data)
        made.append("")

    patch.setattr(LocalStorage, "replace", count)
    return made


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_killed_at_any_write_it_is_true_and_the_same_edit_completes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: Any
) -> None:
    output = Path(ct.convert(write_scan(tmp_path), **OPTIONS, ome_zarr_version=version).output)
    ct.edit(output, name="first")
    states = set()
    for writes in range(20):
        new = {"voxel_size": f"{writes + 1} um", "name": f"name {writes}", "window": (0, writes + 1)}
        before, ended = facts(output), False
        after = ((writes + 1,) * 3, ("micrometer",) * 3, new["name"], (0, writes + 1))
        with monkeypatch.context() as patch:
            killed_after(writes, patch)
            try:
                ct.edit(output, **new)  # type: ignore[arg-type]  # checked by hand
                ended = True
            except KeyboardInterrupt:
                pass
        found = facts(output)
        assert found in (before, after)
        states.add(found == after)
        assert ct.verify(output).problems == ()
        receipt = read_receipt(output)
        assert receipt is not None
        assert (receipt["edited"]["name"] == new["name"]) == (found == after)
        if ended:
            break
        ct.edit(output, **new)  # type: ignore[arg-type]
        assert facts(output) == after
        assert ct.verify(output).problems == ()
    else:
        pytest.fail("the edit did not end")
    assert writes == 3
    assert states == {True, False}


def with_labels(path: Path, version: str, *, consolidated: bool, names: Sequence[str] = ("cells",)) -> Path:
    write_image(path, pyramid_of(IMAGE, 2), version=version, voxel_size=0.5)
    named = {"labels": list(names)}
    zarr.open_group(path / "labels", mode="w", zarr_format=2 if version == "0.4" else 3).attrs.update(
        named if version == "0.4" else {"ome": {"version": "0.5"} | named}
    )
    write_image(path / "labels" / "cells", [IMAGE[::2, ::2, ::2]], version=version, voxel_size=1)
    for place in ("labels/cells", "labels", "") if consolidated else ():
        with pytest.warns(UserWarning, match="onsolidated") if version == "0.5" else nullcontext():
            zarr.consolidate_metadata(path / place)
    return path


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("consolidated", [False, True])
def test_whatever_stops_the_edit_of_an_image_with_labels_the_same_edit_completes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, consolidated: bool, error: BaseException
) -> None:
    asked = {"voxel_size": "0.25 um", "name": "Bone"}
    whole = with_labels(tmp_path / "whole.zarr", version, consolidated=consolidated)
    before = everything(whole)
    ct.edit(whole, **asked)  # type: ignore[arg-type]
    for writes in range(10):
        path = with_labels(tmp_path / f"{writes}.zarr", version, consolidated=consolidated)
        with monkeypatch.context() as patch:
            killed_after(writes, patch, error)
            with suppress(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else ct.ConversionError):
                ct.edit(path, **asked)  # type: ignore[arg-type]
                break
        if not writes:
            assert everything(path) == before
        assert everything(path).keys() >= before.keys()
        ct.edit(path, **asked)  # type: ignore[arg-type]
        assert everything(path) == everything(whole)
    assert writes == (3 if not consolidated else 6 if version == "0.4" else 4)


@pytest.mark.parametrize("key", ["../outside/.zattrs", "labels/../../outside/.zattrs", "0/.zarray"])
def test_a_note_of_an_edit_that_names_other_files_is_refused(tmp_path: Path, key: str) -> None:
    (tmp_path / "outside").mkdir()
    path = with_labels(tmp_path / "a.zarr", "0.4", consolidated=False)
    (path / ".ct-pyramid").mkdir()
    (path / ".ct-pyramid" / "edit.json").write_bytes(seal({"documents": [(key, {"a": 1})]}))
    before = everything(tmp_path)
    with pytest.raises(ct.SourceError):
        ct.edit(path, name="A")
    assert everything(tmp_path) == before


def test_labels_outside_the_image_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "other.zarr", [IMAGE], voxel_size=0.5)
    path = with_labels(tmp_path / "a.zarr", "0.4", consolidated=False)
    write_json(path / "labels" / ".zattrs", {"labels": ["../../other.zarr"]})
    before = everything(tmp_path)
    with pytest.raises(ct.SourceError):
        ct.edit(path, voxel_size="0.25 um")
    assert everything(tmp_path) == before


def test_an_edit_that_waited_for_a_conversion_edits_what_that_made(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there is looked at when nobody else can change it any more."""
    lock = edit_module.hold

    @contextmanager
    def overwritten_meanwhile(path: Path) -> Iterator[None]:
        ct.convert(output.with_name("scan.tif"), **{**OPTIONS, "num_levels": 2}, overwrite=True)
        with lock(path):
            yield

    monkeypatch.setattr(edit_module, "hold", overwritten_meanwhile)
    ct.edit(output, name="Bone")
    assert ct.verify(output).problems == ()
    assert len(ct.open_pyramid(output).levels) == 2


# --- of other programs


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["zyx", "czyx", "tczyx"])
def test_images_of_other_programs(tmp_path: Path, version: str, axes: str) -> None:
    array = IMAGE.reshape((1,) * (len(axes) - 3) + IMAGE.shape)
    levels = pyramid_of(array, 3, range(len(axes) - 3, len(axes)))
    path = write_image(tmp_path / "a.zarr", levels, version=version, axes=axes, voxel_size=0.5, multiscales={"its": 1})
    before = ct.open_pyramid(path)
    edited = ct.edit(path, voxel_size=("1", "2", "4 nm"), window=(10, 20))
    after = ct.open_pyramid(path)
    assert not (path / ".ct-pyramid").exists()
    assert edited.before.window is None
    assert after.window == (10, 20, 10, 20)
    assert after.metadata["multiscales"][0]["its"] == 1
    other = len(axes) - 3
    assert after.units == before.units[:other] + ("nanometer",) * 3
    for old, new in zip(before.levels, after.levels, strict=True):
        assert new.scale[:other] == old.scale[:other]
        np.testing.assert_array_equal(new.scale[other:], np.array(old.scale[other:]) * [2, 4, 8])
        np.testing.assert_array_equal(new.translation[other:], np.array(old.translation[other:]) * [2, 4, 8])
        np.testing.assert_array_equal(np.asarray(new.array), np.asarray(old.array))


def test_a_level_without_a_translation_gets_none(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", pyramid_of(IMAGE, 2))
    attributes = group(path)
    for dataset in attributes["multiscales"][0]["datasets"]:
        del dataset["coordinateTransformations"][1]
    write_json(path / ".zattrs", attributes)
    ct.edit(path, voxel_size=0.1)
    transformations = [d["coordinateTransformations"] for d in group(path)["multiscales"][0]["datasets"]]
    assert transformations == [[{"type": "scale", "scale": [size] * 3}] for size in (0.1, 0.2)]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("consolidated", [False, True])
def test_labels_of_the_image_stay_on_it(tmp_path: Path, version: str, consolidated: bool) -> None:
    path = with_labels(tmp_path / "a.zarr", version, consolidated=consolidated, names=["cells", "missing"])
    edited = ct.edit(path, voxel_size="0.25 um", name="Bone")
    assert edited.labels == ("cells",)
    cells = ct.open_pyramid(path / "labels" / "cells")
    assert (cells.levels[0].scale, cells.name) == ((0.5,) * 3, "volume")
    assert ct.open_pyramid(path).levels[0].scale == (0.25,) * 3
    if consolidated:
        for group, key in (("", ""), ("", "labels/cells"), ("labels", "cells"), ("labels/cells", "")):
            seen = zarr.open_consolidated(path / group)
            attributes = dict((seen[key] if key else seen).attrs)  # type: ignore[union-attr]
            assert attributes == dict(zarr.open_group(path / group / key, mode="r", use_consolidated=False).attrs)


def test_a_copy_of_the_metadata_above_the_image_is_refused(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "all.zarr", mode="w", zarr_format=2)
    path = write_image(tmp_path / "all.zarr" / "image", [IMAGE])
    ct.edit(path, name="fine")
    zarr.consolidate_metadata(tmp_path / "all.zarr")
    before = everything(tmp_path)
    with pytest.raises(ct.RequestError):
        ct.edit(path, name="not")
    assert everything(tmp_path) == before


# --- what is refused


@pytest.mark.parametrize(
    ("made", "asked"),
    [
        ({}, {}),
        ({}, {"name": " "}),
        ({}, {"name": "two\nlines"}),
        ({}, {"window": (2, 1)}),
        ({}, {"window": "auto"}),
        ({}, {"voxel_size": "1 2"}),
        ({}, {"voxel_size": "1 um", "unit": "mm"}),
        ({"unit": None}, {"voxel_size": 0.65}),
        ({"axes": "yx"}, {"voxel_size": 0.65}),
        ({"multiscales": {"coordinateTransformations": [{"type": "scale", "scale": [2, 2, 2]}]}}, {"voxel_size": 1}),
        ({"omero": {"channels": [{}, {}]}}, {"window": (1, 2)}),
        ({"multiscales": {"version": "0.3"}}, {"name": "A"}),
    ],
)
def test_what_cannot_be_set_is_refused_and_nothing_changes(
    tmp_path: Path, made: dict[str, Any], asked: dict[str, Any]
) -> None:
    path = write_image(tmp_path / "a.zarr", [IMAGE[0] if made.get("axes") == "yx" else IMAGE], **made)
    if made.get("multiscales", {}).get("version"):
        attributes = group(path)
        attributes["multiscales"][0]["version"] = "0.3"
        write_json(path / ".zattrs", attributes)
    before = everything(path)
    with pytest.raises(ct.RequestError) as raised:
        ct.edit(path, **asked)
    with pytest.raises(ct.RequestError):
        ct.plan_edit(path, **asked)
    assert "\n" not in str(raised.value)
    assert everything(path) == before


def test_an_unfinished_output_and_what_is_no_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ct.UnfinishedError):
        ct.edit(write_unfinished(tmp_path / "a.zarr"), name="A")
    with pytest.raises(ct.SourceNotFoundError):
        ct.edit(tmp_path / "none.zarr", name="A")
    with pytest.raises(ct.SourceError):
        ct.edit(tmp_path, name="A")


def test_a_plan_of_an_edit_states_it_and_writes_nothing(output: Path) -> None:
    before = everything(output)
    planned = ct.plan_edit(output, voxel_size="650 nm", name="Bone")
    assert everything(output) == before
    assert planned == ct.edit(output, voxel_size="650 nm", name="Bone")
    assert planned.after.name == "Bone"
    assert VOXELS.ndim == 3


@pytest.mark.parametrize("name", [".zmetadata", "zarr.json"])
@pytest.mark.parametrize("content", ["[1, 2]", "{", '"text"'])
def test_a_copy_of_metadata_that_is_no_json_object_is_not_passed_over(tmp_path: Path, name: str, content: str) -> None:
    """A reader that takes it would see the old metadata, or none."""
    path = write_image(tmp_path / "a.zarr", [IMAGE])
    (path / name).write_text(content)
    before = everything(path)
    with pytest.raises(ct.SourceError) as caught:
        ct.edit(path, name="A")
    assert name in str(caught.value)
    assert everything(path) == before
