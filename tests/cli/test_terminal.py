"""The display of progress, and both output streams."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_ct_pyramid import open_pyramid
from napari_ct_pyramid.cli.terminal import Bar, Lines, Silence, choose_display, print_message, write
from napari_ct_pyramid.conversion.progress import Progress
from napari_ct_pyramid.model.plan import make_plan
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import ConversionOptions
from tests.helpers.command import CHUNKS, MODULE, command_after, write_scan

PLAN = make_plan(Volume("scan", (100, 1000, 1000), np.dtype("f4"), "TIFF"), ConversionOptions(chunks="conversion"))
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ON_POSIX = pytest.mark.skipif(os.name != "posix", reason="terminals are different here")


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


def test_lines_have_percent_rate_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, progress(0, 0), progress(25, 50), progress(100, 3700)) == [
        "  0 %  0 bytes of 100 GB",
        " 25 %  25.0 GB of 100 GB  500 MB/s  2 min 30 s left",
        "100 %  100 GB of 100 GB  27.0 MB/s  took 1 h 01 min",
    ]


def test_a_comparison_of_a_source_is_named_and_is_not_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    compared = [replace(progress(done, 50), comparing=True) for done in (25, 100)]
    assert all("comparing the source" in line and "took" not in line for line in lines(capsys, *compared))
    assert len(lines(capsys, *compared, progress(100, 60))) == 2


def test_lines_come_every_tenth_but_no_more_often_than_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    fast = lines(capsys, *(progress(i, i / 10) for i in range(101)))
    assert [line.split()[0] for line in fast] == ["0", "100"]
    steady = lines(capsys, *(progress(i, i) for i in range(101)))
    assert [line.split()[0] for line in steady] == [str(n) for n in range(0, 101, 10)]


def test_lines_come_every_minute_when_it_takes_long(capsys: pytest.CaptureFixture[str]) -> None:
    slow = lines(capsys, *(progress(i // 50, i) for i in range(301)))
    assert [line.split()[0] for line in slow] == ["0", "1", "2", "3", "4", "6"]


def test_no_rate_is_given_for_less_than_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, progress(0, 0), progress(100, 0.8)) == [
        "  0 %  0 bytes of 100 GB",
        "100 %  100 GB of 100 GB  took 0.8 s",
    ]


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
def test_a_terminal_that_can_draw_gets_a_bar(
    terminal: bool, kind: str, quiet: bool, display: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    chosen = choose_display(quiet=quiet)
    chosen.close()
    assert type(chosen) is display


def test_silence_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Silence()
    shown.show(progress(1, 1))
    shown.close()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("json_flag", [["--json"], []])
def test_a_pipe_that_nobody_reads_does_not_matter(json_flag: list[str], scan: Path) -> None:
    with subprocess.Popen(
        [*MODULE, "info", str(scan), *json_flag], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, "")


def test_a_conversion_continues_when_nothing_reads_its_progress(scan: Path) -> None:
    with subprocess.Popen(
        [*MODULE, "convert", str(scan), *CHUNKS, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        process.stderr.close()
        receipt = json.loads(process.stdout.read())
    assert process.returncode == 0
    assert len(open_pyramid(receipt["output"]).levels) == len(receipt["levels"])


def on_terminal(run: list[str], columns: int, cwd: Path) -> tuple[int, str]:
    """Exit status of a command, and all that it wrote on a terminal of so many columns."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    environment["TERM"] = "xterm-256color"
    written = b""
    with subprocess.Popen(run, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=environment) as process:
        os.close(theirs)
        try:
            while part := os.read(ours, 65536):
                written += part
        except OSError:  # Linux ends a terminal that nobody writes to with an error
            pass
    os.close(ours)
    return process.returncode, written.decode()


@ON_POSIX
@pytest.mark.parametrize("columns", [80, 50])
def test_a_terminal_shows_a_bar(columns: int, tmp_path: Path) -> None:
    name = "long" * 50
    write_scan(tmp_path).rename(tmp_path / f"{name}.tif")
    status, written = on_terminal([*MODULE, "convert", f"{name}.tif", *CHUNKS], columns, tmp_path)
    assert status == 0
    announcement, *rest = ESCAPES.sub("", written).replace("\r", "\n").splitlines()
    assert "…" in announcement
    assert len(announcement) <= max(columns, 72)
    frames = [line for line in rest if " % ━" in line]
    assert frames[0].startswith("  0 %")
    assert frames[-1].startswith("100 %")
    assert " took " in frames[-1]
    assert max(map(len, frames)) < columns
    assert f"Made {name}.ome.zarr" in rest
    assert "\x1b[?25l" in written  # the cursor is hidden,
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")  # and comes back


@ON_POSIX
def test_ctrl_c_in_a_terminal_shows_the_cursor_again(scan: Path, tmp_path: Path) -> None:
    prelude = (
        "import os\nfrom napari_ct_pyramid.cli.terminal import Bar\nshow = Bar.show\n"
        "Bar.show = lambda *args: (show(*args), os.kill(os.getpid(), 2))"
    )
    status, written = on_terminal(command_after(prelude, "convert", scan, *CHUNKS), 80, tmp_path)
    assert status == 130
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")
    assert "ct-pyramid: Interrupted." in written[written.rindex("\x1b[?25h") :]


def test_control_characters_are_shown_and_not_sent_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = "a\x1b[31mred\x1b]0;title\x07\x9b\x7f\r\tb\nc"
    write(text)
    print_message(text)
    printed = capsys.readouterr()
    assert printed.out == printed.err == "a\\x1b[31mred\\x1b]0;title\\x07\\x9b\\x7f\\x0d\tb\nc\n"
