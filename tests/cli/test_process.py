"""The command line as a process: signals, terminals, pipes, and what happens on the way."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from napari_ct_pyramid import UnfinishedError, open_pyramid
from napari_ct_pyramid.cli.main import main
from tests.helpers.command import CHUNKS, MODULE, command, command_after, everything, write_scan

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and terminals are others here")

# Every read takes its time, so that there is a middle of the conversion.
SLOW = """
import time
from napari_ct_pyramid.sources import registry as source
read = source.Source.read
source.Source.read = lambda *args: (time.sleep(0.3), read(*args))[1]
"""
# No file may grow larger than this, which is more than any metadata and less than an uncompressed chunk.
SMALL_FILES = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
"""
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_scan(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_something_plainly_unfinished(
    number: int, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = command_after(SLOW, "convert", scan, *CHUNKS, "--threads", 1)
    with subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        while " 0 %" not in process.stderr.readline():
            assert process.poll() is None, "it ended before it began"
        process.send_signal(number)
        said, printed = process.stderr.read(), process.stdout.read()
    output = tmp_path / "scan.ome.zarr"
    assert process.returncode == 130
    assert said == f"ct-pyramid: Interrupted. {output} is unfinished; the same command resumes it.\n"
    assert printed == ""
    for args in (["convert", str(scan), "-c", "4", "4", "4"], ["info", str(output)]):
        assert main(args) == 2
        assert "unfinished" in capsys.readouterr().err
    assert main(["convert", str(scan), *CHUNKS, "--quiet"]) == 0
    assert len(open_pyramid(output).levels) == 1


def test_an_interrupt_before_the_work_begins_leaves_nothing(scan: Path, tmp_path: Path) -> None:
    before = everything(tmp_path)
    pause = (
        "import signal\nfrom napari_ct_pyramid.sources import registry as source\n"
        "source.open_source = lambda *_, **__: signal.raise_signal(2)"
    )
    done = subprocess.run(
        command_after(pause, "convert", scan, *CHUNKS), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "ct-pyramid: Interrupted.\n")
    assert everything(tmp_path) == before


def test_a_failure_on_the_way_is_told_apart(scan: Path, tmp_path: Path) -> None:
    failing = command_after(SMALL_FILES, "convert", scan, "-c", 8, 32, 32, "--compressor", "none")
    done = subprocess.run(failing, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.startswith("ct-pyramid: error: ")
    assert f"{tmp_path / 'scan.ome.zarr'} is unfinished" in said
    with pytest.raises(UnfinishedError):
        open_pyramid(tmp_path / "scan.ome.zarr")


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


def test_a_conversion_outlives_whoever_watched_it(scan: Path) -> None:
    with subprocess.Popen(
        [*MODULE, "convert", str(scan), *CHUNKS, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        process.stderr.close()
        receipt = json.loads(process.stdout.read())
    assert process.returncode == 0
    assert len(open_pyramid(receipt["output"]).levels) == len(receipt["levels"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_output_that_cannot_be_written_is_a_failure(scan: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*MODULE, "info", str(scan)], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("ct-pyramid: error: ")
    assert done.stderr.count("\n") == 1


def test_a_name_that_is_no_text_can_be_printed(tmp_path: Path) -> None:
    scan = write_scan(tmp_path)
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/sc\xe4n.tif")
    try:
        scan.rename(odd)
    except OSError:
        pytest.skip("this file system has no such names")
    done = command("info", odd)
    assert done.returncode == 0, done.stderr
    assert "sc\\udce4n.tif" in done.stdout
    assert json.loads(command("info", odd, "--json").stdout)["path"] == odd


def on_terminal(run: list[str], columns: int, cwd: Path) -> tuple[int, str]:
    """Exit status of a command, and all that it wrote on a terminal of so many columns."""
    import fcntl
    import pty
    import struct
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
    assert "GB/s" in frames[-1]
    assert max(map(len, frames)) < columns
    assert f"Made {name}.ome.zarr" in rest
    assert "\x1b[?25l" in written  # the cursor is hidden,
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")  # and comes back


def test_ctrl_c_in_a_terminal_brings_the_cursor_back(scan: Path, tmp_path: Path) -> None:
    prelude = (
        "import os\nfrom napari_ct_pyramid.cli.terminal import Bar\nshow = Bar.show\n"
        "Bar.show = lambda *args: (show(*args), os.kill(os.getpid(), 2))"
    )
    status, written = on_terminal(command_after(prelude, "convert", scan, *CHUNKS), 80, tmp_path)
    assert status == 130
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")
    assert "ct-pyramid: Interrupted." in written[written.rindex("\x1b[?25h") :]
