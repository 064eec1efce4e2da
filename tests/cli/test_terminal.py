"""What is said while and after a conversion runs, in words and in time."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_ct_pyramid.cli.render import announcement, summary
from napari_ct_pyramid.cli.terminal import Bar, Lines, Silence, choose_display, interruptible
from napari_ct_pyramid.conversion.progress import Progress
from napari_ct_pyramid.conversion.receipt import Receipt
from napari_ct_pyramid.model.formatting import duration, numbers, shorten, table, times
from napari_ct_pyramid.model.plan import make_plan
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import ConversionOptions

PLAN = make_plan(Volume("scan", (100, 1000, 1000), np.dtype("f4"), "TIFF"), ConversionOptions(chunks="conversion"))


def progress(done: int, seconds: float, blocks: int = 100) -> Progress:
    return Progress(
        output=Path("scan.ome.zarr"),
        plan=PLAN,
        blocks_done=done,
        blocks=blocks,
        bytes_done=done * 10**9,
        bytes_total=blocks * 10**9,
        seconds=seconds,
        fraction=done / blocks,
    )


def lines(capsys: pytest.CaptureFixture[str], *steps: Progress) -> list[str]:
    shown = Lines()
    for step in steps:
        shown.show(step)
    shown.close()
    return capsys.readouterr().err.splitlines()


def test_lines_say_percent_speed_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, progress(0, 0), progress(25, 50), progress(100, 3700)) == [
        "  0 %  0 bytes of 100 GB",
        " 25 %  25.0 GB of 100 GB  0.50 GB/s  2 min 30 s left",
        "100 %  100 GB of 100 GB  0.03 GB/s  took 1 h 01 min",
    ]


def test_lines_come_every_tenth_but_no_more_often_than_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    fast = lines(capsys, *(progress(i, i / 10) for i in range(101)))
    assert [line.split()[0] for line in fast] == ["0", "100"]
    steady = lines(capsys, *(progress(i, i) for i in range(101)))
    assert [line.split()[0] for line in steady] == [str(n) for n in range(0, 101, 10)]


def test_lines_come_every_minute_when_it_takes_long(capsys: pytest.CaptureFixture[str]) -> None:
    slow = lines(capsys, *(progress(i // 50, i) for i in range(301)))
    assert [line.split()[0] for line in slow] == ["0", "1", "2", "3", "4", "6"]


def test_the_last_line_comes_once_and_never_early(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(
        capsys, progress(0, 0, 1000), progress(999, 20, 1000), progress(1000, 21, 1000), progress(1000, 25, 1000)
    )
    assert [line.split("%")[0].strip() for line in shown] == ["0", "99", "100"]


@pytest.mark.parametrize(
    ("terminal", "kind", "quiet", "display"),
    [
        (True, "xterm", False, Bar),
        (True, "dumb", False, Lines),
        (False, "xterm", False, Lines),
        (True, "xterm", True, Silence),
        (False, "xterm", True, Silence),
    ],
)
def test_a_bar_where_one_can_be_drawn(
    terminal: bool, kind: str, quiet: bool, display: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with choose_display(quiet=quiet) as chosen:
        assert type(chosen) is display


def test_silence_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Silence()
    shown.show(progress(1, 1))
    shown.close()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("length", [1, 20, 200])
@pytest.mark.parametrize("width", [80, 100, 200])
def test_an_announcement_fits_its_line_whatever_the_names(length: int, width: int) -> None:
    volume = Volume("v" * length, (100, 1000, 1000), np.dtype("f4"), "TIFF")
    plan = make_plan(volume, ConversionOptions(chunks="conversion"))
    line = announcement(plan, Path("some/where") / f"{'o' * length}.zarr", width)
    assert len(line) <= width
    assert line.startswith("Converting v")
    assert ".zarr: 2 levels, " in line
    assert "some/where" not in line
    if length == 1:
        assert line.startswith("Converting v (400 MB) to o.zarr: 2 levels, ")


def test_a_summary_has_the_facts_and_a_command_that_can_be_copied() -> None:
    receipt = Receipt(
        output=Path("my scans/scan.ome.zarr"),
        ome_zarr_version="0.4",
        levels=PLAN.levels,
        seconds=100,
        bytes_read=50 * 10**9,
        bytes_written=40 * 10**9,
        peak_memory_bytes=900_000_000,
        minimum=0,
        maximum=1,
        nans=0,
        infinities=0,
        window=(0, 1),
    )
    said = summary(receipt, 10**9)
    assert said.startswith(f"Made {receipt.output}\n")
    assert "50.0 GB became 40.0 GB in 1 min 40 s (500 MB/s)" in said
    assert "Peak memory 900 MB, of a budget of 1.00 GB" in said
    assert said.endswith(f"ct-pyramid view '{receipt.output}'")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (36_000, "10 h 00 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_names_are_shortened_in_the_middle() -> None:
    assert shorten("scan.ome.zarr", 13) == "scan.ome.zarr"
    assert shorten("scan.ome.zarr", 12) == "scan.o….zarr"
    assert shorten("scan.ome.zarr", 3) == shorten("scan.ome.zarr", 0) == "s…r"


def test_shapes_sizes_and_tables() -> None:
    assert times((512, 2560, 2560)) == "512 × 2560 × 2560"
    assert numbers((0.65, 0.65, 1.0)) == "0.65 0.65 1"
    assert table(("Level", "Size"), [("0", "13 GB"), ("10", "1 B")]) == ["Level   Size", "0      13 GB", "10       1 B"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_interrupt_and_are_put_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_a_second_signal_ends_the_process_at_once() -> None:
    inside = []
    with interruptible():
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            inside += [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)]
    assert inside == [signal.SIG_DFL, signal.SIG_DFL]


def test_a_signal_that_the_parent_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible():
            signal.raise_signal(signal.SIGINT)
            inside = signal.getsignal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert inside == signal.SIG_IGN
