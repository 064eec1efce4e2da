"""Every kind of source that is no single TIFF, and every view of one, against the array that was written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr

import napari_ct_pyramid as ct
from napari_ct_pyramid.options import parse_crop
from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.sources.row_reader import FileHandles
from tests.helpers.omezarr import pyramid_of, write_image, write_unfinished
from tests.helpers.tiffs import coordinates
from tests.sources.test_tiff import blocks

SHAPE = (9, 22, 17)
VOLUME = coordinates(SHAPE)
INTEGERS = coordinates(SHAPE, "uint16")

Written = tuple[str, np.ndarray, tuple[int, int, int]]  # the INPUT, what it holds, its granularity


def hdf5(volume: np.ndarray = VOLUME, granularity: tuple[int, int, int] = (1, 1, 17), **options: Any) -> Any:
    def write(folder: Path) -> Written:
        with h5py.File(folder / "scan.h5", "w") as file:
            file.create_dataset("entry/data/data", data=volume, **options)
            file["entry/angles"] = np.arange(5)
        return f"{folder / 'scan.h5'}::/entry/data/data", volume.reshape(SHAPE), granularity

    return write


def hdf5_in_part(folder: Path) -> Written:
    """Chunks that were never written have the fill value, and one left its filter out."""
    with h5py.File(folder / "scan.h5", "w") as file:
        data = file.create_dataset("v", SHAPE, "i2", chunks=(4, 8, 8), compression="gzip", shuffle=True, fillvalue=-3)
        data[:4, 8:16, :8] = INTEGERS[:4, 8:16, :8]
        raw = np.full((4, 8, 8), 7, "i2")
        data.id.write_direct_chunk((4, 0, 0), raw.tobytes(), filter_mask=0b11)
        return f"{folder / 'scan.h5'}::v", data[:], (4, 8, 8)


def hdf5_virtual(folder: Path) -> Written:
    """Slices in files of their own, as detectors write them."""
    layout = h5py.VirtualLayout(SHAPE, "f4")
    for z, image in enumerate(VOLUME):
        with h5py.File(folder / f"part{z}.h5", "w") as file:
            file["image"] = image
        layout[z] = h5py.VirtualSource(folder / f"part{z}.h5", "image", shape=SHAPE[1:])
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_virtual_dataset("v", layout)
    return str(folder / "scan.h5"), VOLUME, (1, 22, 17)


def npy(volume: np.ndarray, granularity: tuple[int, int, int] = (1, 1, 17)) -> Any:
    def write(folder: Path) -> Written:
        np.save(folder / "scan.npy", volume)
        return str(folder / "scan.npy"), volume.reshape(SHAPE), granularity

    return write


def tiff(volume: np.ndarray, granularity: tuple[int, int, int], **options: Any) -> Any:
    def write(folder: Path) -> Written:
        tifffile.imwrite(folder / "scan.tif", volume, photometric="minisblack", **options)
        return str(folder / "scan.tif"), volume, granularity

    return write


def slices(folder: Path) -> Written:
    for z, image in enumerate(INTEGERS):
        tifffile.imwrite(folder / f"{z}.tif", image, compression="zlib", rowsperstrip=5)
    return str(folder), INTEGERS, (1, 5, 17)


def zarr_array(volume: np.ndarray, granularity: tuple[int, int, int], **options: Any) -> Any:
    def write(folder: Path) -> Written:
        options.setdefault("chunks", granularity)
        array = zarr.create_array(folder / "v.zarr", shape=volume.shape, dtype=volume.dtype, fill_value=0, **options)
        array[...] = volume
        return str(folder / "v.zarr"), volume.reshape(SHAPE), granularity

    return write


def ome_zarr(axes: str = "zyx", **options: Any) -> Any:
    def write(folder: Path) -> Written:
        volume = VOLUME.reshape(tuple(1 if axis in "tc" else SHAPE["zyx".index(axis)] for axis in axes))
        write_image(folder / "v.ome.zarr", pyramid_of(volume, 2), axes=axes, **options)
        return str(folder / "v.ome.zarr"), VOLUME, (8, 8, 8)

    return write


def zarr_of_one(folder: Path) -> Written:
    """A group with one array of three axes, and others beside it."""
    group = zarr.open_group(folder / "g.zarr", mode="w", zarr_format=2)
    group.create_array("a/deep/volume", shape=SHAPE, dtype="u2", chunks=(9, 5, 17))[...] = INTEGERS
    group.create_array("flat", shape=(4, 5), dtype="u2")
    return str(folder / "g.zarr"), INTEGERS, (9, 5, 17)


def ours(folder: Path) -> Written:
    """What a conversion made, which is padded."""
    np.save(folder / "scan.npy", VOLUME[:, :20, :16])
    ct.convert(folder / "scan.npy", folder / "scan.ome.zarr", chunks=(4, 8, 8), num_levels=2)
    return str(folder / "scan.ome.zarr"), VOLUME[:, :20, :16], (4, 8, 8)


KINDS: dict[str, Callable[[Path], Written]] = {
    "tiff": tiff(VOLUME, (1, 1, 17)),
    "tiff, big-endian": tiff(VOLUME, (1, 1, 17), byteorder=">"),
    "tiff, one strip": tiff(INTEGERS, (1, 22, 17), compression="lzw", predictor=True),
    "tiff, tiles": tiff(VOLUME, (1, 16, 16), tile=(16, 16)),
    "tiff, deep tiles": tiff(VOLUME, (4, 16, 16), tile=(4, 16, 16), compression="zlib"),
    "folder": slices,
    "hdf5": hdf5(),
    "hdf5, big-endian": hdf5(VOLUME.astype(">f4")),
    "hdf5, four axes": hdf5(VOLUME[None]),
    "hdf5, chunks": hdf5(VOLUME, (2, 7, 5), chunks=(2, 7, 5)),
    "hdf5, gzip": hdf5(INTEGERS, (4, 8, 16), chunks=(4, 8, 16), compression="gzip", shuffle=True),
    "hdf5, gzip, big-endian": hdf5(VOLUME.astype(">f8"), (1, 22, 17), chunks=(1, 22, 17), compression="gzip"),
    "hdf5, lzf, four axes": hdf5(VOLUME[:, None], (3, 8, 16), chunks=(3, 1, 8, 16), compression="lzf", shuffle=True),
    "hdf5, checksums": hdf5(VOLUME, (2, 8, 16), chunks=(2, 8, 16), compression="gzip", fletcher32=True),
    "hdf5, in part": hdf5_in_part,
    "hdf5, virtual": hdf5_virtual,
    "npy": npy(VOLUME),
    "npy, big-endian": npy(INTEGERS.astype(">u2")),
    "npy, four axes": npy(VOLUME[None].astype("f8")),
    "zarr 2": zarr_array(INTEGERS, (4, 7, 17), zarr_format=2),
    "zarr 2, big-endian": zarr_array(VOLUME.astype(">f4"), (4, 7, 5), zarr_format=2, order="F"),
    "zarr 3": zarr_array(VOLUME, (1, 22, 17), zarr_format=3),
    "zarr 3, shards": zarr_array(INTEGERS, (2, 4, 8), zarr_format=3, shards=(4, 8, 16)),
    "zarr 3, four axes": zarr_array(VOLUME[None], (9, 8, 8), chunks=(1, 16, 8, 8), zarr_format=3),
    "zarr, the only one": zarr_of_one,
    "ome-zarr 0.4": ome_zarr(),
    "ome-zarr 0.5": ome_zarr(version="0.5", chunks=(8, 8, 8), shards=(16, 16, 16)),
    "ome-zarr, five axes": ome_zarr("tczyx", chunks=(1, 1, 8, 8, 8)),
    "ome-zarr, ours": ours,
    "npy, Fortran": npy(np.asfortranarray(VOLUME), (9, 1, 1)),
}
VIEWS = {
    "as it is": ("zyx", None),
    "cropped": ("zyx", "3:8,-15:20,4:"),
    "narrow": ("zyx", ",,5:9"),
    **{axes: (axes, None) for axes in ("xzy", "yzx", "xyz", "zxy", "yxz")},
    "turned and cropped": ("xzy", "1:-1,2:7,3:9"),
}


def read_whole(source: Source) -> np.ndarray:
    out = np.empty(source.volume.shape, source.volume.dtype)
    source.read(0, out.shape[0], 0, out.shape[1], out)
    return out


def viewed(volume: np.ndarray, axes: str, crop: str | None) -> np.ndarray:
    """As numpy would have it."""
    turned = volume.transpose([axes.index(axis) for axis in "zyx"])
    return turned[tuple(slice(*part) for part in parse_crop(crop) or ())]


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_in_every_view(tmp_path: Path, name: str) -> None:
    given, written, granularity = KINDS[name](tmp_path)
    for axes, crop in VIEWS.values():
        expected = viewed(written, axes, crop)
        with open_source(given, axes=axes, crop=parse_crop(crop)) as source:
            volume = source.volume
            assert (volume.shape, volume.dtype) == (expected.shape, written.dtype.newbyteorder("="))
            np.testing.assert_array_equal(read_whole(source), expected)
            for z0, z1, y0, y1 in blocks(3, volume.shape, 6):
                buffer = np.full((z1 - z0, y1 - y0, volume.shape[2] + 3), 77, volume.dtype)
                source.read(z0, z1, y0, y1, buffer[..., :-3])
                np.testing.assert_array_equal(buffer[..., :-3], expected[z0:z1, y0:y1])
                assert (buffer[..., -3:] == 77).all()
            if axes == "zyx":
                assert volume.granularity == granularity


@pytest.mark.parametrize("name", KINDS)
def test_many_threads_at_once(tmp_path: Path, name: str) -> None:
    given, written, _ = KINDS[name](tmp_path)
    with open_source(given) as source, ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: read_whole(source), range(12)):
            np.testing.assert_array_equal(found, written)
    with pytest.raises(ValueError, match="closed"):
        read_whole(source)


@pytest.mark.parametrize("name", ["tiff", "folder", "hdf5, gzip", "npy, Fortran", "zarr 3, shards", "ome-zarr 0.4"])
@pytest.mark.parametrize("view", ["yxz", "turned and cropped"])
def test_converted_and_verified(in_memory: Path, name: str, view: str) -> None:
    """Chunks smaller and larger than read units, and block edges across them."""
    (in_memory / "in").mkdir()
    given, written, _ = KINDS[name](in_memory / "in")
    axes, crop = VIEWS[view]
    options = {"axes": axes, "crop": crop, "num_levels": 1, "threads": 2}
    for number, chunks in enumerate([(2, 4, 8), (5, 3, 4)]):
        output = in_memory / f"{number}.ome.zarr"
        ct.convert(given, output, chunks=chunks, **options)
        np.testing.assert_array_equal(ct.open_pyramid(output).levels[0].array[:], viewed(written, axes, crop))
        assert ct.verify(output, given).sound
        assert ct.verify(output).sound


def test_a_crop_reads_no_more_than_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    original = FileHandles.readinto

    def spy(self: FileHandles, file: int, at: int, buffer: memoryview) -> int:
        sizes.append(len(buffer))
        return original(self, file, at, buffer)

    monkeypatch.setattr(FileHandles, "readinto", spy)
    for name in ("tiff", "npy", "hdf5"):
        given, _, _ = KINDS[name](tmp_path)
        with open_source(given, crop=parse_crop("2:4,10:15,3:9")) as source:
            read_whole(source)
        assert sum(sizes) == 2 * 5 * 6 * 4
        sizes.clear()


@pytest.mark.parametrize(
    ("crop", "said"),
    [
        ("0:10,,", r"crop 0:10 along z goes beyond the 9 there are"),
        (",:-23,", "along y goes beyond the 22"),
        (",,5:5", "along x has no voxel"),
        ("5:2,,", "along z has no voxel"),
        ("1:2", "is not a part of a volume"),
        ("1,2,3", "is not a part of a volume"),
        ("::2,,", "is not a part of a volume"),
        ("a:b,,", "is not a part of a volume"),
        (7, "is not a part of a volume"),
    ],
)
def test_crops_that_cannot_be_had(tmp_path: Path, crop: Any, said: str) -> None:
    given, _, _ = KINDS["npy"](tmp_path)
    with pytest.raises(ct.RequestError, match=said):
        ct.plan(given, chunks=(4, 4, 4), crop=crop)


@pytest.mark.parametrize("axes", ["zy", "zzx", "tyx", "", 3])
def test_axes_that_are_not_an_order_of_z_y_and_x(axes: Any) -> None:
    with pytest.raises(ct.RequestError) as caught:
        ct.ConversionOptions(chunks=(4, 4, 4), axes=axes)
    assert repr(axes) in str(caught.value)


def test_the_voxel_size_goes_with_its_axis(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v"] = VOLUME
        file["v"].attrs["element_size_um"] = (1.0, 2.0, 3.0)
    plan = ct.plan(tmp_path / "a.h5", chunks=(4, 4, 4), axes="xzy", num_levels=1)
    assert (plan.voxel_size, plan.unit) == ((2, 3, 1), "micrometer")
    assert plan.voxel_size_from == "HDF5 attribute element_size_um"


def test_another_part_is_another_conversion(tmp_path: Path) -> None:
    given, _, _ = KINDS["npy"](tmp_path)
    steps = ct.iter_convert(given, chunks=(4, 4, 4), num_levels=1, crop="1:,,")
    next(steps)
    steps.close()
    with pytest.raises(ct.OutputExistsError, match=r"differs in .*the part that is converted"):
        ct.plan(given, chunks=(4, 4, 4), num_levels=1, crop=",1:,")


# --- HDF5 -------------------------------------------------------------------------------------------------------


def with_attributes(**attributes: Any) -> Callable[[h5py.File], None]:
    return lambda file: file["g/v"].attrs.update(attributes)


def with_dataset(name: str, value: Any, units: Any) -> Callable[[h5py.File], None]:
    def add(file: h5py.File) -> None:
        file[name] = value
        file[name].attrs["units"] = units

    return add


def with_axes(file: h5py.File, uneven: float = 0) -> None:
    file["g"].attrs["axes"] = ["z", "y", "x"]
    for axis, n, step in zip("zyx", SHAPE, (2.0, 0.5, 0.5), strict=True):
        file[f"g/{axis}"] = 10 + np.arange(n) * step + uneven * (np.arange(n) == 1)
        file[f"g/{axis}"].attrs["units"] = "um"


@pytest.mark.parametrize(
    ("add", "found"),
    [
        (with_attributes(element_size_um=(2.0, 0.5, 0.5)), ((2, 0.5, 0.5), "micrometer", "attribute element_size_um")),
        (with_attributes(voxel_size=0.65, voxel_size_units="um"), ((0.65,) * 3, "micrometer", "attribute voxel_size")),
        (with_attributes(pixel_size_nm=np.array([5.0])), ((5, 5, 5), "nanometer", "attribute pixel_size_nm")),
        (with_dataset("g/pixel size", 0.5, b"micron"), ((0.5,) * 3, "micrometer", "dataset /g/pixel size")),
        (with_axes, ((2, 0.5, 0.5), "micrometer", "NeXus axes")),
        (lambda file: with_axes(file, 0.2), (None, None, None)),
        (with_attributes(units="um", resolution=300), (None, None, None)),
        (with_attributes(voxel_size=(0, 0, 0)), (None, None, None)),
        (with_attributes(voxel_size="unknown"), (None, None, None)),
    ],
)
def test_the_voxel_size_of_hdf5_and_where_it_was_found(tmp_path: Path, add: Any, found: Any) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/v"] = VOLUME
        add(file)
    with open_source(tmp_path / "a.h5") as source:
        volume = source.volume
        assert (volume.voxel_size, volume.unit) == found[:2]
        assert found[2] is None or str(volume.voxel_size_from).endswith(found[2])


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        (
            "",
            r"2 datasets of three axes, and none was named\. .*/a/v \(9 × 22 × 17 float32\), /w .*as in s\.h5::/a/v\.",
        ),
        ("::/lost", r"has no dataset /lost\. Those of three axes are /a/v "),
        ("::/a", "has a group, not a dataset, at /a"),
        ("::/flat", r"flat is no volume of z, y, x: 4 × 5 float64\. Those of three axes are"),
        ("::/flags", "of a type that cannot be converted: bool"),
        ("::/one", "is no volume of z, y, x: one value int64"),
        ("::/w", "of a type that cannot be converted: int64"),
    ],
)
def test_datasets_that_are_no_volume(tmp_path: Path, inside: str, said: str) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["a/v"], file["flat"], file["one"] = VOLUME, np.zeros((4, 5)), 1
        file["w"], file["flags"] = np.zeros((3, 4, 5), "i8"), np.zeros((3, 4, 5), bool)
    with pytest.raises(ct.SourceError, match=said):
        open_source(f"{tmp_path / 's.h5'}{inside}")


def test_hdf5_that_is_damaged(tmp_path: Path) -> None:
    given, _, _ = KINDS["hdf5, gzip"](tmp_path)
    path = tmp_path / "scan.h5"
    with h5py.File(path) as file:
        at = file["entry/data/data"].id.get_chunk_info(4)
    data = bytearray(path.read_bytes())
    data[at.byte_offset : at.byte_offset + at.size] = b"\x55" * at.size
    path.write_bytes(data)
    with open_source(given) as source, pytest.raises(ct.SourceError, match=r"chunk of .*scan\.h5 at 0 16 0 .*decoded"):
        read_whole(source)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ct.SourceError, match=r"could not be read as an HDF5 file"):
        open_source(given)


def test_hdf5_without_h5py(tmp_path: Path) -> None:
    given, _, _ = KINDS["hdf5"](tmp_path)
    code = (
        "import sys; sys.modules['h5py'] = None\nfrom napari_ct_pyramid.cli.main import main\nraise SystemExit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code, "info", given], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "takes h5py to read. To get it: pip install 'napari-ct-pyramid[hdf5]'" in done.stderr
    assert done.stderr.count("\n") == 1


# --- Zarr -------------------------------------------------------------------------------------------------------


def test_a_pyramid_made_anew(tmp_path: Path) -> None:
    """Other chunks and levels, of what has levels already: beside it, with what it says of its voxels."""
    path = write_image(tmp_path / "v.ome.zarr", pyramid_of(VOLUME[:8, :20, :16], 2), voxel_size=0.65)
    receipt = ct.convert(path, chunks=(4, 4, 16), num_levels=3)
    assert receipt.output == tmp_path / "v-2.ome.zarr"
    pyramid = ct.open_pyramid(receipt.output)
    np.testing.assert_array_equal(pyramid.levels[0].array[:], VOLUME[:8, :20, :16])
    assert (pyramid.levels[0].chunks, len(pyramid.levels)) == ((4, 4, 16), 3)
    assert (pyramid.levels[0].scale, pyramid.units[0]) == ((0.65,) * 3, "micrometer")
    assert ct.plan(path, tmp_path / "o.zarr", chunks=(4, 4, 4), num_levels=1).voxel_size_from == "its OME-Zarr metadata"


def test_zarrs_that_are_no_volume(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "g.zarr", mode="w")
    for name, shape, dtype in (("a", SHAPE, "u2"), ("b/c", SHAPE, "u8"), ("flat", (3, 4), "u2")):
        group.create_array(name, shape=shape, dtype=dtype)
    for inside, said in {
        "": r"no array was named in it\. .* are /a \(9 × 22 × 17 uint16\), /b/c .*as in g\.zarr::/a\.",
        "::/lost": "has nothing at /lost. Arrays of three axes in it are /a",
        "::/flat": "is no volume of z, y, x: its shape is 3 × 4",
        "::/b/c": "cannot be converted: uint64",
    }.items():
        with pytest.raises(ct.SourceError, match=said):
            open_source(f"{tmp_path / 'g.zarr'}{inside}")
    write_unfinished(tmp_path / "u.ome.zarr")
    with pytest.raises(ct.UnfinishedError, match="unfinished conversion"):
        open_source(tmp_path / "u.ome.zarr")


# --- NumPy ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((4, 5)), "is no volume of z, y, x: its shape is 4 × 5"),
        (np.zeros((2, 2, 4, 5)), "its shape is 2 × 2 × 4 × 5"),
        (np.zeros((2, 4, 5), bool), "cannot be converted: bool"),
        (np.zeros((2, 4, 5), "c8"), "cannot be converted: complex64"),
        (np.zeros((2, 4, 5), "u8"), "cannot be converted: uint64"),
        (np.zeros((2, 4, 5), [("a", "f4")]), "cannot be converted"),
        (np.zeros((0, 4, 5)), "no volume"),
    ],
)
def test_arrays_that_are_no_volume(tmp_path: Path, array: np.ndarray, said: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ct.SourceError, match=said):
        open_source(tmp_path / "a.npy")


def test_an_array_that_is_cut_short(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VOLUME)
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data[:-1])
    with pytest.raises(ct.SourceError, match=r"cut short: it has 13,463 of the 13,464 bytes"):
        open_source(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(data[:40])
    with pytest.raises(ct.SourceError, match="could not be read as a NumPy array"):
        open_source(tmp_path / "a.npy")


def test_a_path_inside_of_what_has_no_inside(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VOLUME)
    with pytest.raises(ct.SourceError, match=r"a\.npy is a file without parts"):
        open_source(f"{tmp_path / 'a.npy'}::/data")
