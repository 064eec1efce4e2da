"""Ctrl-C and SIGTERM: what they leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from napari_ct_pyramid import open_pyramid
from napari_ct_pyramid.cli.interruption import ends_at_once, interruptible
from napari_ct_pyramid.cli.main import main
from tests.helpers.command import CHUNKS, command_after, everything, hold_reading

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are different here")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_conversion_leaves_an_unfinished_output_that_can_be_resumed(
    number: int, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    go = tmp_path / "go"
    started = command_after(hold_reading("scan", go), "convert", scan, *CHUNKS, "--threads", 1)
    with subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        while " 0 %" not in process.stderr.readline():
            assert process.poll() is None, "it ended before it began"
        process.send_signal(number)
        go.touch()
        said, printed = process.stderr.read(), process.stdout.read()
    output = tmp_path / "scan.ome.zarr"
    assert process.returncode == 128 + number
    assert said.startswith("ct-pyramid: Interrupted. ")
    assert (said.count(f"{output} is unfinished"), said.count("\n"), printed) == (1, 1, "")
    for args in (["convert", str(scan), "-c", "4", "4", "4"], ["info", str(output)]):
        assert main(args) == 2
        assert "unfinished" in capsys.readouterr().err
    assert main(["convert", str(scan), *CHUNKS, "--quiet"]) == 0
    assert len(open_pyramid(output).levels) == 1


def test_an_interrupt_before_the_conversion_starts_writes_nothing(scan: Path, tmp_path: Path) -> None:
    before = everything(tmp_path)
    interrupt = (
        "from napari_ct_pyramid.conversion import convert\n"
        "convert.plan_source = lambda *_, **__: signal.raise_signal(signal.SIGINT)"
    )
    done = subprocess.run(
        command_after(interrupt, "convert", scan, *CHUNKS), capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "ct-pyramid: Interrupted.\n")
    assert everything(tmp_path) == before


def test_ctrl_c_in_the_second_of_three_leaves_the_others_untouched(
    five: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = ["convert", "a.tif", "b.tif", "d.tif", "--output-dir", "out", *CHUNKS]
    started = command_after(hold_reading("b", five / "go"), *request, "--threads", 1)
    with subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        while "2 of 3" not in process.stderr.readline():
            assert process.poll() is None, "it ended before it began"
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        (five / "go").touch()
        said, printed = process.stderr.read(), process.stdout.read()
    assert process.returncode == 130
    last = said.splitlines()[-1]
    assert last.startswith(f"ct-pyramid: Interrupted. {Path('out', 'b.ome.zarr')} is unfinished")
    assert "1 volume was not started" in last
    assert (printed, (five / "out" / "d.ome.zarr").exists()) == ("", False)
    before = everything(five / "out" / "a.ome.zarr")
    assert main(request) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["a.tif", "done"], ["b.tif", "done"], ["d.tif", "done"], ["Made", "2"],
    ]  # fmt: skip
    assert everything(five / "out" / "a.ome.zarr") == before
    assert main(["verify", "out/*", "--quiet"]) == 0


@pytest.mark.parametrize("ignored", [False, True])
def test_ctrl_c_has_no_effect_where_the_parent_process_ignores_it(ignored: bool, scan: Path, tmp_path: Path) -> None:
    prelude = (
        f"signal.signal(signal.SIGINT, signal.{'SIG_IGN' if ignored else 'default_int_handler'})\n"
        "from napari_ct_pyramid.cli.terminal import Lines\nshow = Lines.show\n"
        "Lines.show = lambda *args: (show(*args), signal.raise_signal(signal.SIGINT))"
    )
    done = subprocess.run(
        command_after(prelude, "convert", scan, *CHUNKS), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == (0 if ignored else 130)


@pytest.fixture
def python_handles_ctrl_c() -> Iterator[None]:
    """As in a process that a terminal started, whatever the shell that started the tests ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("python_handles_ctrl_c")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_interrupt_and_are_put_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(number)
    assert signal.getsignal(number) == before


AT_IMPORT = """
import sys
class Counter:
    seen = 0
    def find_spec(self, name, *_):
        Counter.seen += Counter.seen > 0 or name == "napari_ct_pyramid.cli.commands"
        if Counter.seen == {number}:
            for _ in range({times}):
                signal.raise_signal(signal.{name})
sys.meta_path.insert(0, Counter())
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_during_any_import_gives_one_line_and_no_traceback(
    name: str, times: int, scan: Path, tmp_path: Path
) -> None:
    for number in [1, 10, 30, 90, 150, 250]:
        prelude = AT_IMPORT.format(number=number, times=times, name=name)
        done = subprocess.run(
            command_after(prelude, "convert", scan, *CHUNKS), capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 128 + getattr(signal, name), (number, done.stderr)
        assert (done.stdout, done.stderr.count("\n")) == ("", 1), done.stderr
        assert done.stderr.startswith("ct-pyramid: Interrupted.")


def test_a_second_signal_ends_the_process_at_once(scan: Path, tmp_path: Path) -> None:
    started = command_after(hold_reading("scan", tmp_path / "never"), "convert", scan, *CHUNKS, "--threads", 1)
    with subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while not (tmp_path / "never.held").exists():
            assert process.poll() is None, "it ended before it began"
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)  # the first one may have been handled or not: the outcome is the same
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=300) == 143
        assert process.stderr.read().splitlines()[-1] == "ct-pyramid: Interrupted."
    assert main(["convert", str(scan), *CHUNKS, "--quiet"]) == 0


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_while_python_ends_changes_no_result(name: str) -> None:
    prelude = (
        "import os\nclass Last:\n"
        f"    def __del__(self, write=os.write, kill=os.kill, me=os.getpid(), number=signal.{name}):\n"
        "        write(2, b'signalled'), kill(me, number)\n"
        "last = Last()"
    )
    for words, status in ((["--version"], 0), (["info", "nothing.tif"], 2)):
        done = subprocess.run(command_after(prelude, *words), capture_output=True, text=True, timeout=300, check=False)
        assert done.stderr.endswith("signalled")
        assert (done.returncode, "Interrupted" in done.stderr) == (status, False)


def test_an_interruption_that_python_ignores_comes_again(scan: Path) -> None:
    prelude = (
        "class Dies:\n    def __del__(self): signal.raise_signal(signal.SIGINT)\n"
        "from napari_ct_pyramid.cli import commands\nimport time\n"
        "commands.parse = lambda words: (Dies() and None, time.sleep(300))"
    )
    done = subprocess.run(
        command_after(prelude, "convert", scan, *CHUNKS), capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (130, "ct-pyramid: Interrupted.\n")


def test_an_interruption_that_a_library_turns_into_an_error_of_its_own(scan: Path) -> None:
    prelude = (
        "from napari_ct_pyramid.cli import commands\n"
        "def fail(words):\n    try: signal.raise_signal(signal.SIGTERM)\n"
        "    except BaseException: raise ImportError('core failed to import')\n"
        "commands.parse = fail"
    )
    done = subprocess.run(
        command_after(prelude, "convert", scan, *CHUNKS), capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (143, "ct-pyramid: Interrupted.\n")


@pytest.mark.parametrize("context", [interruptible, ends_at_once])
def test_a_signal_that_the_parent_ignores_stays_ignored(context: Callable[[], AbstractContextManager[Any]]) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with context():
            signal.raise_signal(signal.SIGINT)
            inside = signal.getsignal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert inside == signal.SIG_IGN


@pytest.mark.parametrize("context", [interruptible, ends_at_once])
def test_another_thread_than_the_main_one_leaves_signals_alone(
    context: Callable[[], AbstractContextManager[Any]],
) -> None:
    def enter() -> Any:
        with context():
            return signal.getsignal(signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(enter).result() == signal.getsignal(signal.SIGTERM)
