"""The plan: levels, blocks that share no chunk, a ledger within the budget, and errors that say what would do."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ct_pyramid.errors import Advice, BudgetError, DiskSpaceError, LevelsError
from napari_ct_pyramid.model.plan import Plan, make_plan
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import ConversionOptions

BEAMLINE = Volume(name="tomo", shape=(2160, 2560, 2560), dtype=np.dtype("f4"), format="BigTIFF")


def plan_of(volume: Volume = BEAMLINE, **options: object) -> Plan:
    return make_plan(volume, ConversionOptions(**{"chunks": (128, 128, 128), "threads": 2, **options}))


def test_the_levels_of_a_beamline_volume() -> None:
    plan = plan_of(voxel_size=0.65, unit="micrometer")
    assert [level.shape for level in plan.levels] == [
        (2160, 2560, 2560),
        (1080, 1280, 1280),
        (540, 640, 640),
        (270, 320, 320),
    ]
    assert [level.voxel_size[0] for level in plan.levels] == [0.65, 1.3, 2.6, 5.2]
    # NGFF: the centre of the first voxel; a mean of 2, 4, 8 voxels lies in their middle.
    assert [level.translation[0] for level in plan.levels] == pytest.approx([0, 0.325, 0.975, 2.275])
    assert plan.levels[0].nbytes == BEAMLINE.nbytes == 56_623_104_000
    assert plan.files == 17 * 20 * 20 + 9 * 10 * 10 + 5 * 5 * 5 + 3 * 3 * 3 + 4 + 2
    assert pickle.loads(pickle.dumps(plan)) == plan


@pytest.mark.parametrize(
    ("shape", "levels"),
    [((1, 512, 512), 1), ((513, 8, 8), 2), ((10, 1024, 512), 2), ((10, 1026, 512), None), ((2160, 2560, 2560), 4)],
)
def test_automatic_levels_are_the_fewest_whose_coarsest_has_no_axis_over_512(
    shape: tuple[int, int, int], levels: int | None
) -> None:
    volume = replace(BEAMLINE, shape=shape)
    if levels is None:
        with pytest.raises(LevelsError):
            plan_of(volume)
    else:
        assert len(plan_of(volume).levels) == levels


def test_sizes_that_cannot_be_halved_name_the_possible_number_of_levels() -> None:
    volume = replace(BEAMLINE, shape=(100, 1000, 1012))
    with pytest.raises(LevelsError) as caught:
        plan_of(volume, num_levels=4)
    assert (caught.value.most, caught.value.paddable) == (3, True)
    assert {Advice("num_levels", 3), Advice("edges", "pad")} <= {*caught.value.message.parts}
    assert all(fact in str(caught.value) for fact in ("1,000", "1,012"))
    assert len(plan_of(volume, num_levels=caught.value.most).levels) == 3


@pytest.mark.parametrize("depth", [1, 7, 8, 9])
def test_z_is_padded_to_whole_voxels_of_the_coarsest_level(depth: int) -> None:
    plan = plan_of(replace(BEAMLINE, shape=(depth, 64, 64)), num_levels=4)
    assert [level.shape[0] for level in plan.levels] == [math.ceil(depth / 8) * (8 >> k) for k in range(4)]
    assert any("padding" in str(warning) for warning in plan.warnings) == (depth < 8)


VOLUMES = st.builds(
    lambda z, y, x, dtype: replace(BEAMLINE, shape=(z, 8 * y, 8 * x), dtype=np.dtype(dtype)),
    st.integers(1, 90),
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from(["u1", "u2", "f4"]),
)


@given(
    volume=VOLUMES,
    chunks=st.tuples(*[st.integers(1, 20)] * 3),
    levels=st.integers(1, 4),
    budget=st.sampled_from(["190M", "300M", "1G"]),
    row_step=st.sampled_from([1, 3, 1000]),
    downsample=st.sampled_from(["2 2 2", "1 2 2", "2 1 1", "auto"]),
    edges=st.sampled_from(["strict", "pad"]),
)
def test_blocks_hold_whole_chunks_of_every_level_and_share_none(
    volume: Volume,
    chunks: tuple[int, int, int],
    levels: int,
    budget: str,
    row_step: int,
    downsample: str,
    edges: str,
) -> None:
    z, y, x = volume.shape
    odd = 3 * (edges == "pad")
    volume = replace(volume, granularity=(1, row_step, 1), shape=(z, y + odd, x + odd), voxel_size=(3, 1, 1))
    plan = plan_of(volume, chunks=chunks, num_levels=levels, max_memory=budget, downsample=downsample, edges=edges)
    assert plan.peak_memory_bytes <= plan.options.max_memory
    made = set()
    for stage in plan.stages:
        for number, block in enumerate(stage.blocks()):
            for level in range(stage.base, stage.top + 1):
                (bz, by, _), (lz, ly, _) = plan.levels[stage.base].shape, plan.levels[level].shape
                z0, z1, y0, y1 = (n * a / b for n, a, b in zip(block, (lz, lz, ly, ly), (bz, bz, by, by), strict=True))
                assert stage.block_of(level, int(z0), int(y0)) == number
                assert stage.block_of(level, int(z1) - 1, int(y1) - 1) == number
                depth, rows, _ = plan.levels[level].shape
                assert z0 % chunks[0] == 0
                assert y0 % chunks[1] == 0
                assert z1 == depth or z1 % chunks[0] == 0
                assert y1 == rows or y1 % chunks[1] == 0
                if level > stage.base or level == 0:
                    grid = product(
                        range(int(z0) // chunks[0], math.ceil(z1 / chunks[0])),
                        range(int(y0) // chunks[1], math.ceil(y1 / chunks[1])),
                    )
                    for chunk in grid:
                        assert (level, chunk) not in made
                        made.add((level, chunk))
    expected = {
        (level, chunk)
        for level, made_level in enumerate(plan.levels)
        for chunk in product(
            range(math.ceil(made_level.shape[0] / chunks[0])), range(math.ceil(made_level.shape[1] / chunks[1]))
        )
    }
    assert made == expected


def test_a_block_is_a_few_gigabytes_whatever_the_volume() -> None:
    for volume in (BEAMLINE, replace(BEAMLINE, shape=(8000, 8192, 8192))):
        plan = plan_of(volume)
        stage = plan.stages[0]
        z0, z1, y0, y1 = next(iter(stage.blocks()))
        assert (z1 - z0) * (y1 - y0) * volume.shape[2] * 4 <= 9e9
        assert stage.top >= 1


def test_memory_does_not_grow_with_the_number_of_slices() -> None:
    taller = replace(BEAMLINE, shape=(20_000, 2560, 2560))
    assert plan_of(taller, num_levels=4).peak_memory_bytes == plan_of(num_levels=4).peak_memory_bytes


def test_blocks_do_not_depend_on_the_budget() -> None:
    small, large = plan_of(max_memory="600M"), plan_of(max_memory="8G")
    assert [list(stage.blocks()) for stage in small.stages] == [list(stage.blocks()) for stage in large.stages]


def test_a_budget_that_is_too_small_names_the_smallest_that_works() -> None:
    with pytest.raises(BudgetError) as caught:
        plan_of(max_memory="100M")
    smallest = caught.value.smallest
    assert Advice("max_memory", f"{smallest // 1_000_000}MB") in caught.value.message.parts
    assert plan_of(max_memory=smallest).peak_memory_bytes <= smallest
    with pytest.raises(BudgetError):
        plan_of(max_memory=smallest - 2_000_000)


def test_a_chunk_larger_than_the_budget_is_too_large() -> None:
    with pytest.raises(BudgetError) as caught:
        plan_of(chunks=(512, 512, 512))
    assert caught.value.smallest > 512**3 * 4


def test_fewer_threads_are_used_where_the_budget_is_too_small_for_more() -> None:
    plan = plan_of(max_memory="600M", threads=64)
    assert 1 <= plan.threads < 64
    assert any(f"{plan.threads} of 64" in str(w) and Advice("max_memory") in w.parts for w in plan.warnings)
    assert plan_of(max_memory="8G", threads=64).threads == 64


def test_compressed_pages_are_decoded_once_if_the_budget_allows() -> None:
    compressed = replace(BEAMLINE, compression="LZW", granularity=(1, 2560, 2560))
    roomy = plan_of(compressed, max_memory="16G")
    assert roomy.stages[0].cell[1] >= 2560
    assert not roomy.warnings
    tight = plan_of(compressed, max_memory="1G")
    assert [Advice("max_memory") in warning.parts for warning in tight.warnings] == [True]


def test_each_thread_has_the_memory_that_its_decoder_takes() -> None:
    compressed = replace(BEAMLINE, compression="JPEG 2000", granularity=(1, 2560, 2560))
    greedy = replace(compressed, decoding_bytes=100_000_000)
    plans = [plan_of(volume, max_memory="16G", threads=3) for volume in (compressed, greedy)]
    assert plans[1].peak_memory_bytes - plans[0].peak_memory_bytes == 3 * 100_000_000


def test_too_little_disk_is_an_error_with_both_figures() -> None:
    options = ConversionOptions(chunks=(128, 128, 128))
    with pytest.raises(DiskSpaceError) as caught:
        make_plan(BEAMLINE, options, bytes_free=10_000_000_000)
    assert (caught.value.needed, caught.value.free) == (make_plan(BEAMLINE, options).bytes_out_estimate, 10**10)
    plan = make_plan(BEAMLINE, options, bytes_free=40_000_000_000, compression_ratio=2)
    assert plan.bytes_out_estimate == pytest.approx(sum(level.nbytes for level in plan.levels) / 2, abs=1)


def test_the_voxel_size_of_the_options_overrides_that_of_the_source() -> None:
    known = replace(BEAMLINE, voxel_size=(1.0, 2.0, 3.0), unit="millimeter", voxel_size_from="OME-XML")
    assert plan_of(known).voxel_size_from == "OME-XML"
    asked = plan_of(known, voxel_size=0.5, unit="nanometer")
    assert (asked.voxel_size, asked.unit, asked.voxel_size_from) == ((0.5, 0.5, 0.5), "nanometer", "the options")
    unknown = plan_of(unit="nanometer")
    assert (unknown.voxel_size, unknown.unit) == (None, None)
    assert Advice("voxel_size") in unknown.warnings[0].parts


def test_a_voxel_size_without_a_unit_gives_a_warning() -> None:
    (warning,) = plan_of(voxel_size=0.5).warnings
    assert Advice("unit", "micrometer") in warning.parts
    assert not plan_of(voxel_size=0.5, unit="um").warnings
    assert not plan_of(replace(BEAMLINE, voxel_size=(1, 1, 1), unit="millimeter"), voxel_size=0.5).warnings
