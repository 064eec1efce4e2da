"""Verifying finds everything that is wrong with an output, by level and chunk, and repairs it from its source."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import napari_ct_pyramid as ct
from napari_ct_pyramid.conversion.receipt import RECEIPT, change_receipt, read_receipt
from napari_ct_pyramid.errors import Advice
from napari_ct_pyramid.model.histogram import Histogram
from napari_ct_pyramid.omezarr.checksums import OLD_FILE, Checksums
from napari_ct_pyramid.omezarr.codec import Codec
from napari_ct_pyramid.omezarr.journal import Journal, read_journal, write_journal
from napari_ct_pyramid.omezarr.kind import JOURNAL
from napari_ct_pyramid.omezarr.writer import OmeZarrWriter
from napari_ct_pyramid.sources import sampling
from napari_ct_pyramid.storage.lock import hold, lock_file
from napari_ct_pyramid.storage.sealed import seal, unseal
from tests.helpers.omezarr import write_image
from tests.helpers.scans import OPTIONS, VOXELS, pyramid_files, small_blocks, write_scan

METADATA = ".zattrs"


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        ct.convert(write_scan(folder), **OPTIONS)
    return folder


@pytest.fixture
def scan(made: Path, tmp_path: Path) -> Path:
    """A source, and beside it a sound output."""
    shutil.copytree(made, tmp_path / "of")
    return tmp_path / "of" / "scan.tif"


@pytest.fixture
def output(scan: Path) -> Path:
    return scan.with_name("scan.ome.zarr")


def chunks_of(output: Path) -> list[Path]:
    return sorted(path for path in output.rglob("*") if path.name.isdigit() and path.is_file())


def flip(path: Path, rng: np.random.Generator) -> None:
    data = bytearray(path.read_bytes())
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def keys(output: Path, found: ct.Verification) -> set[str]:
    return {"/".join(map(str, (p.level, *(p.chunk or ())))) for p in found.problems if p.level is not None}


@pytest.mark.parametrize("with_source", [False, True])
def test_a_sound_output_is_found_sound(scan: Path, output: Path, with_source: bool) -> None:
    before = pyramid_files(output)
    found = ct.verify(output, scan if with_source else None)
    assert (found.problems, found.sound, found.repaired, found.with_source) == ((), True, False, with_source)
    assert found.chunks == len(chunks_of(output))
    assert pyramid_files(output) == before
    receipt = read_receipt(output)
    assert receipt is not None
    assert receipt["verified"]["problems"] == 0


@pytest.mark.parametrize("compressor", ["lz4", "zstd", "none"])
def test_one_bit_in_each_of_fifty_chunks_one_chunk_gone_and_one_field_changed(tmp_path: Path, compressor: str) -> None:
    scan = write_scan(tmp_path)
    output = ct.convert(scan, **OPTIONS, compressor=compressor).output
    before = pyramid_files(output)
    rng = np.random.default_rng(3)
    chosen = [chunks_of(output)[i] for i in rng.permutation(len(chunks_of(output)))[:51]]
    for path in chosen[:50]:
        flip(path, rng)
    chosen[50].unlink()
    attributes = json.loads((output / METADATA).read_text())
    attributes["multiscales"][0]["datasets"][1]["coordinateTransformations"][0]["scale"][2] = 3.0
    (output / METADATA).write_text(json.dumps(attributes))

    damaged = {str(path.relative_to(output)) for path in chosen}
    found = ct.verify(output)
    assert keys(output, found) == damaged
    others = [str(problem) for problem in found.problems if problem.level is None]
    place = "/multiscales/0/datasets/1/coordinateTransformations/0/scale/2"
    assert others == [f".zattrs was changed: {place} is 3.0 where 2.0 was written"]
    found = ct.verify(output, scan, repair=True)
    assert keys(output, found) == damaged
    assert (found.repaired, found.sound) == (True, True)
    assert pyramid_files(output) == before
    assert ct.verify(output, scan).problems == ()


def test_every_chunk_on_its_own(scan: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found without accusing another, and repaired without doing more than its block."""
    before = pyramid_files(output)
    rng = np.random.default_rng(4)
    written: list[Any] = []
    begin = OmeZarrWriter.begin_chunk
    monkeypatch.setattr(OmeZarrWriter, "begin_chunk", lambda *args: (written.append(args[1:]), begin(*args))[1])
    for path in rng.choice(chunks_of(output), 12, replace=False):
        flip(path, rng)
        for source in (None, scan):
            assert keys(output, ct.verify(output, source)) == {str(path.relative_to(output))}
        written.clear()
        ct.verify(output, scan, repair=True)
        assert 0 < len(written) < len(chunks_of(output)) / 2
        assert pyramid_files(output) == before


def change(key: str, *place: Any, value: Any) -> Callable[[Path], None]:
    def change(output: Path) -> None:
        metadata = json.loads((output / key).read_text())
        at = metadata
        for step in place[:-1]:
            at = at[step]
        at[place[-1]] = value
        (output / key).write_text(json.dumps(metadata))

    return change


def rename_key(key: str, name: str) -> Callable[[Path], None]:
    """Also one whose value is null."""

    def rename(output: Path) -> None:
        text = (output / key).read_text()
        assert f'"{name}": null' in text
        (output / key).write_text(text.replace(f'"{name}"', f'"~{name}"'))

    return rename


def remove(key: str) -> Callable[[Path], None]:
    return lambda output: (output / key).unlink()


def cut_journal(output: Path) -> None:
    (output / JOURNAL).write_bytes((output / JOURNAL).read_bytes()[:-9])


def write(key: str, data: bytes) -> Callable[[Path], None]:
    return lambda output: (output / key).write_bytes(data) and None


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (change("1/.zarray", "fill_value", value=7), "1/.zarray was changed: /fill_value is 7 where 0 was written"),
        (change("0/.zarray", "shape", value=[48, 32]), "0/.zarray was changed: /shape is"),
        (rename_key("0/.zarray", "filters"), "0/.zarray was changed: /filters is missing"),
        (change(METADATA, "multiscales", 0, "axes", 0, "type", value="time"), "/axes/0/type is \"time\" where \"sp"),
        (change(METADATA, "multiscales", 0, "axes", value=[]), "the metadata are not valid by the specification"),
        (change(METADATA, "omero", "channels", 0, "window", "max", value=1), "/omero/channels/0/window/max is 1 where"),
        (remove(".zgroup"), ".zgroup is missing"),
        (write("2/.zarray", b"{"), "2/.zarray cannot be read"),
        (remove(RECEIPT), "the receipt is missing"),
        (cut_journal, "journal.jsonl is damaged"),
    ],
)  # fmt: skip
def test_changed_metadata_are_found(scan: Path, output: Path, damage: Callable[[Path], None], words: str) -> None:
    before = pyramid_files(output)
    damage(output)
    found = ct.verify(output)
    assert any(words in str(problem) for problem in found.problems), found.problems
    assert ct.verify(output, scan, repair=True).repaired
    assert pyramid_files(output) == before
    assert ct.verify(output, scan).problems == ()


@pytest.mark.parametrize(
    "changes",
    [{"minimum": 1}, {"maximum": 9}, {"nans": 1}, {"infinities": 2}, {"window": [0, 1]}, {"histogram": None}],
)
@pytest.mark.parametrize("with_source", [False, True])
def test_a_receipt_that_states_other_numbers_is_found(
    scan: Path, output: Path, changes: dict[str, Any], with_source: bool
) -> None:
    """Also if its checksum was made to fit."""
    before = {key: value for key, value in (read_receipt(output) or {}).items() if key in changes}
    change_receipt(output, **changes)
    problems = ct.verify(output, scan if with_source else None).problems
    assert problems
    assert all(next(iter(changes)) in str(problem) for problem in problems)
    assert ct.verify(output, scan, repair=True).repaired
    assert before.items() <= (read_receipt(output) or {}).items()
    assert ct.verify(output, scan).problems == ()


def within(**parts: Any) -> Callable[[dict[str, Any]], None]:
    """Change some entries of parts of a receipt; None removes one."""

    def change(receipt: dict[str, Any]) -> None:
        for part, entries in parts.items():
            for name, value in entries.items():
                receipt[part].pop(name) if value is None else receipt[part].update({name: value})

    return change


NO_EDIT = {"when": "2026", "voxel_size": None, "unit": None, "name": None, "window": None}


EMPTIED: list[Callable[[dict[str, Any]], object]] = [
    dict.clear,
    lambda receipt: receipt.update(source={}),
    lambda receipt: receipt.update(metadata={}),
    lambda receipt: receipt.update(edited=["x"]),
]


def test_a_receipt_with_a_checksum_that_fits_and_other_content_is_found(output: Path) -> None:
    changes: list[tuple[Callable[[dict[str, Any]], object], str]] = [
        *((emptied, "receipt") for emptied in EMPTIED),
        (lambda receipt: receipt.update(options={}), "receipt"),
        (lambda receipt: receipt.pop("nans"), "nans"),
        (within(options={"method": "max"}), "method"),
        (within(options={"num_levels": 7}), "levels"),
        (within(options={"chunks": None}), "receipt"),
        (within(source={"name": "another"}), "the source's name"),
        (within(source={"dtype": "int8"}), "the source's type"),
        (within(source={"modified": "2000-01-01T00:00:00.000+00:00"}), "the source's last change"),
        (within(software={"napari-ct-pyramid": "9"}), "version"),
        (lambda receipt: receipt.update(edited=NO_EDIT | {"name": "other"}), "name"),
        (lambda receipt: receipt.update(edited=NO_EDIT | {"unit": "meter"}), "unit"),
    ]
    written = (output / RECEIPT).read_bytes()
    for change, word in changes:
        receipt = unseal(written)
        change(receipt)
        (output / RECEIPT).write_bytes(seal(receipt))
        assert [word in str(problem) for problem in ct.verify(output).problems] == [True], word


@pytest.mark.parametrize("empty", EMPTIED)
def test_a_receipt_that_was_emptied_is_made_again(
    scan: Path, output: Path, empty: Callable[[dict[str, Any]], object]
) -> None:
    before, receipt = pyramid_files(output), unseal((output / RECEIPT).read_bytes())
    empty(receipt)
    (output / RECEIPT).write_bytes(seal(receipt))
    assert ct.verify(output, scan, repair=True).repaired
    assert ct.verify(output, scan).problems == ()
    assert pyramid_files(output) == before


def test_an_edit_that_the_receipt_no_longer_notes_is_found(output: Path) -> None:
    ct.edit(output, voxel_size="3 um", window=(1, 2), name="mine")
    assert ct.verify(output).sound
    change_receipt(output, edited=None)
    (problem,) = ct.verify(output).problems
    assert all(fact in str(problem) for fact in ("voxel size", "unit", "display window"))


@pytest.mark.parametrize("changes", [{"minimum": -1.0}, {"nans": 3}, {"clipped": 1}, {"histogram": Histogram()}])
def test_a_journal_that_states_other_numbers_is_found_by_counting_again(
    scan: Path, output: Path, changes: dict[str, Any]
) -> None:
    before, receipt = pyramid_files(output), read_receipt(output)
    record = read_journal(output)
    assert record is not None
    block = (0, 1)
    done = {**record.done, block: replace(record.done[block], **changes)}
    write_journal(output, replace(record, done=done))
    found = ct.verify(output, scan)
    assert [problem.block for problem in found.problems if problem.block] == [block]
    assert ct.verify(output, scan, repair=True).repaired
    assert ct.verify(output, scan).problems == ()
    assert pyramid_files(output) == before
    names = ("minimum", "maximum", "nans", "infinities", "window", "histogram", "rescaled")
    assert [(read_receipt(output) or {})[name] for name in names] == [(receipt or {})[name] for name in names]


@pytest.mark.once
def test_a_flipped_bit_in_the_journal_or_the_receipt_never_damages_the_output(
    scan: Path, output: Path, some: Callable[[int, int], list[int]]
) -> None:
    """It is found, or changes nothing. A repair makes the same output, or is refused."""
    before = pyramid_files(output)
    for name in (JOURNAL, RECEIPT):
        written = (output / name).read_bytes()
        for number, at in enumerate(some(len(written), 12)):
            data = bytearray(written)
            data[-at] ^= 1 << number % 8
            (output / name).write_bytes(data)
            try:
                found = ct.verify(output, scan, repair=True)
            except ct.SourceError:
                pass
            else:
                assert found.problems
                assert found.repaired
                assert ct.verify(output, scan).problems == ()
            assert pyramid_files(output) == before
            (output / name).write_bytes(written)


@pytest.mark.once
@pytest.mark.parametrize("name", [".zattrs", ".zgroup", "0/.zarray"])
def test_a_flipped_bit_in_the_metadata_is_found(output: Path, some: Callable[[int, int], list[int]], name: str) -> None:
    written = (output / name).read_bytes()
    for number, at in enumerate(some(len(written), 12)):
        data = bytearray(written)
        data[-at] ^= 1 << number % 8
        (output / name).write_bytes(data)
        with suppress(ct.SourceError):
            assert ct.verify(output).problems, (at, bytes(data))


def test_a_journal_of_another_conversion_is_recognized(scan: Path, output: Path, tmp_path: Path) -> None:
    """Both files are as they were written, and do not belong together."""
    other = ct.convert(scan, tmp_path / "other.ome.zarr", **OPTIONS, dtype="uint8", window=(0, 100)).output
    shutil.copyfile(Path(str(other)) / JOURNAL, output / JOURNAL)
    before = pyramid_files(output)
    assert any("receipt" in str(problem) for problem in ct.verify(output).problems)
    with pytest.raises(ct.SourceError, match="the window"):
        ct.verify(output, scan, repair=True)
    assert pyramid_files(output) == before


@pytest.mark.parametrize("meanwhile", ["overwritten", "busy", "nothing"])
def test_the_receipt_notes_a_verification_only_of_the_volume_that_was_verified(
    scan: Path, output: Path, meanwhile: str
) -> None:
    steps = ct.iter_verify(output)
    next(steps)
    with ExitStack() as stack:
        if meanwhile == "overwritten":
            ct.convert(scan, **{**OPTIONS, "method": "max"}, overwrite=True)
        elif meanwhile == "busy":
            stack.enter_context(hold(output))
        list(steps)
        receipt = read_receipt(output)
    assert receipt is not None
    assert bool(receipt["verified"]) == (meanwhile == "nothing")
    assert not lock_file(output).exists()


def test_a_flaky_read_is_no_damage(scan: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk or a network that sometimes gives a wrong byte: each chunk is wrong once."""
    decode = Codec.decode
    seen: set[str] = set()

    def flaky(self: Codec, file: Any, size: int) -> Any:
        voxels, checksum = decode(self, file, size)
        if file.name not in seen:
            seen.add(file.name)
            return voxels, checksum._replace(file=checksum.file ^ 1)
        return voxels, checksum

    monkeypatch.setattr(Codec, "decode", flaky)
    assert ct.verify(output).problems == ()
    assert len(seen) == len(chunks_of(output))


def as_version_0_1_0(output: Path) -> None:
    """Rewrite the journal and the receipt as version 0.1.0 wrote them, with the checksums in a file of their own."""
    record = read_journal(output)
    assert record is not None
    plan = ct.plan(output.with_name("scan.tif"), output.with_name("none.ome.zarr"), **OPTIONS)
    checksums = Checksums(plan, record.checksums)
    lines = [{"identity": record.identity, "blocks": record.blocks}]
    for (stage, block), statistics in record.done.items():
        lines.append({"stage": stage, "block": block, **statistics.to_json(), "seconds": 1.0})
    (output / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
    chunks = [(k, index) for k, level in enumerate(plan.levels) for index in grid(level)]
    found = [checksums.get(k, index) for k, index in chunks]
    (output / OLD_FILE).write_bytes(b"".join(struct.pack("<II", each.file, each.voxels) for each in found if each))
    receipt = json.loads((output / RECEIPT).read_text())
    del receipt["crc32"], receipt["format_version"]
    (output / RECEIPT).write_text(json.dumps(receipt, indent=2))


def grid(level: Any) -> Any:
    return np.ndindex(*(-(-n // c) for n, c in zip(level.shape, level.chunks, strict=True)))


class TestVersion010:
    """Its outputs can be verified and repaired."""

    def test_verify_and_repair(self, scan: Path, output: Path) -> None:
        before = pyramid_files(output)
        as_version_0_1_0(output)
        assert ct.verify(output).problems == ()
        for path in chunks_of(output)[::9]:
            flip(path, np.random.default_rng(1))
        assert len(ct.verify(output).problems) == len(chunks_of(output)[::9])
        assert ct.verify(output, scan, repair=True).repaired
        assert pyramid_files(output) == before  # the file of checksums is gone
        assert ct.verify(output, scan).problems == ()

    def test_a_changed_window_is_not_repaired_from(self, scan: Path, output: Path) -> None:
        as_version_0_1_0(output)
        before = (output / JOURNAL).read_bytes()
        assert b'"unit": null' in before
        (output / JOURNAL).write_bytes(before.replace(b'"unit": null', b'"unit": "mm"'))
        assert ct.verify(output).problems
        with pytest.raises(ct.SourceError, match="the unit"):
            ct.verify(output, scan, repair=True)
        (output / RECEIPT).unlink()
        with pytest.raises(ct.SourceError):
            ct.verify(output, scan, repair=True)

    def test_an_unfinished_one_is_refused_and_can_be_overwritten(self, scan: Path, output: Path) -> None:
        as_version_0_1_0(output)
        (output / METADATA).unlink()
        with pytest.raises(ct.OutputExistsError) as caught:
            ct.convert(scan, **OPTIONS)
        assert Advice("overwrite", True) in caught.value.message.parts
        ct.convert(scan, **OPTIONS, overwrite=True)
        assert ct.verify(output, scan).problems == ()


def test_sound_checksums_do_not_excuse_wrong_voxels(scan: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output that was written as it was meant to be, but meant wrongly."""
    shutil.rmtree(output)
    with monkeypatch.context() as patch:
        patch.setattr("napari_ct_pyramid.model.downsample.reduce", lambda array, out, method: out.fill(3))
        ct.convert(scan, **OPTIONS)
    found = ct.verify(output)
    assert {problem.what for problem in found.problems} == {"it is not the mean of the level below"}
    assert {problem.level for problem in found.problems} == {1}  # level 2 is the mean of what is there
    ct.verify(output, scan, repair=True)
    assert ct.verify(output, scan).sound


def test_the_source_is_compared_voxel_by_voxel(scan: Path, output: Path) -> None:
    """Where no sample looks: one voxel of the source."""
    voxels = VOXELS.copy()
    write_scan(scan.parent, voxels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "_BYTES", 64)
        shutil.rmtree(output)
        ct.convert(scan, **OPTIONS)
        voxels[21, 17, 9] += 1
        write_scan(scan.parent, voxels)
        found = ct.verify(output, scan)
        assert "0/2/2/0" in keys(output, found)
        assert {p.what for p in found.problems if p.level == 0} == {"it differs from the source"}
        assert ct.verify(output, scan, repair=True).repaired
        assert ct.verify(output, scan).sound


def test_another_source_cannot_repair(scan: Path, output: Path, tmp_path: Path) -> None:
    chunks_of(output)[0].unlink()
    before = pyramid_files(output)
    for other, words in [(VOXELS[::-1], "the source's content"), (VOXELS[:40], r"the source's shape \(was 46 × 32")]:
        path = write_scan(tmp_path, np.ascontiguousarray(other))
        for repair in (False, True):
            with pytest.raises(ct.RequestError, match=words):
                ct.verify(output, path, repair=repair)
    assert pyramid_files(output) == before


def test_a_source_that_was_moved_can_repair(scan: Path, output: Path, tmp_path: Path) -> None:
    before = pyramid_files(output)
    chunks_of(output)[5].unlink()
    moved = tmp_path / "moved.tif"
    shutil.copyfile(scan, moved)
    assert ct.verify(output, moved, repair=True).repaired
    assert pyramid_files(output) == before


def test_a_repair_that_stops_half_way_leaves_it_unfinished_and_resumes(
    scan: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pyramid_files(output)
    for path in chunks_of(output)[::7]:
        path.unlink()
    append = Journal.append
    count = [0]

    def fail_at_the_third(self: Journal, *args: Any) -> None:
        count[0] += 1
        if count[0] == 3:
            raise OSError(28, "No space left on device")
        append(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", fail_at_the_third)
        with pytest.raises(ct.ConversionError, match="No space left"):
            ct.verify(output, scan, repair=True)
    with pytest.raises(ct.UnfinishedError):
        ct.verify(output)
    with pytest.raises(ct.UnfinishedError):
        ct.open_pyramid(output)
    assert ct.verify(output, scan, repair=True).repaired
    assert pyramid_files(output) == before


def test_outputs_of_other_programs_cannot_be_verified(tmp_path: Path) -> None:
    image = write_image(tmp_path / "image.zarr", [np.zeros((8, 8, 8), "u1")])
    with pytest.raises(ct.SourceError) as caught:
        ct.verify(image)
    assert JOURNAL in str(caught.value)
    with pytest.raises(ct.SourceNotFoundError):
        ct.verify(tmp_path / "nothing.zarr")
    with pytest.raises(ct.RequestError) as caught:
        ct.verify(image, repair=True)
    assert Advice("source") in caught.value.message.parts


def test_floats_with_nan_and_odd_chunks(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).standard_normal((21, 28, 36)).astype("f4")
    voxels[3, 4, 5] = np.nan
    tifffile.imwrite(tmp_path / "odd.tif", voxels, photometric="minisblack", compression="zlib")
    output = ct.convert(tmp_path / "odd.tif", chunks=(5, 7, 11), num_levels=3).output
    assert ct.verify(output).problems == ()
    assert ct.verify(output, tmp_path / "odd.tif").problems == ()
    receipt = read_receipt(output)
    assert receipt is not None
    assert receipt["nans"] == 1


def test_a_budget_that_is_too_small_is_refused(scan: Path, output: Path) -> None:
    with pytest.raises(ct.BudgetError):
        ct.verify(output, max_memory="1M")


def test_the_receipt_holds_no_paths_and_no_user(output: Path, scan: Path) -> None:
    text = "".join(path.read_text(errors="ignore") for path in (output / RECEIPT, output / JOURNAL))
    assert str(scan.parent) not in text
    assert str(Path.home()) not in text
    receipt = read_receipt(output)
    assert receipt is not None
    assert receipt["source"]["name"] == "scan"
    assert receipt["source"]["size"] == scan.stat().st_size
    assert (receipt["minimum"], receipt["maximum"]) == (VOXELS.min(), VOXELS.max())
    assert {"numpy", "imagecodecs", "python"} <= set(receipt["software"])


@pytest.mark.parametrize(("name", "value"), [("max_memory", "4X"), ("max_memory", 0), ("threads", 0)])
def test_a_wrong_limit_is_an_error_of_the_request_and_not_of_the_output(
    tmp_path: Path, name: str, value: object
) -> None:
    with pytest.raises(ct.RequestError) as caught:
        ct.verify(tmp_path / "scan.ome.zarr", **{name: value})  # type: ignore[arg-type]  # that is the point
    assert str(value) in str(caught.value)
