"""The terminal: what a running conversion shows there, both output streams, and Ctrl-C.

It knows nothing of conversions but the `Progress` they yield.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TextIO

from napari_ct_pyramid.model.formatting import duration, format_size

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.progress import Progress


LINE_SECONDS = 10  # lines come no more often than this,
LINES = 10  # and then for every tenth of the work,
LINE_PATIENCE = 60  # or after so many seconds: the log of a long conversion stays short and shows life

_TEXT_WIDTH = len(" 43 %  9.99 GB/s  59 min 59 s left")


class Display(Protocol):
    """Shows how far a conversion is."""

    def show(self, progress: Progress) -> None:
        """Show this much progress."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


def choose_display(*, quiet: bool) -> AbstractContextManager[Display]:
    """A bar where standard error is a terminal that can draw one, else lines; nothing if quiet."""
    draws = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    display: Display = Silence() if quiet else Bar() if draws else Lines()
    return contextlib.closing(display)


def width() -> int:
    """Columns that a line on standard error may fill."""
    return shutil.get_terminal_size().columns if sys.stderr.isatty() else 1000


def say(text: str) -> None:
    """Print to standard error, and carry on if nobody reads it any more."""
    with contextlib.suppress(OSError), _dropped_if_unread(sys.stderr):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def complain(text: str) -> None:
    """Say what went wrong."""
    say(f"ct-pyramid: error: {text}")


def write(text: str) -> None:
    """Print to standard output, and carry on if nobody reads it any more."""
    with _dropped_if_unread(sys.stdout):
        # A file name may hold bytes that are no text in the terminal's encoding.
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()


def write_json(value: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Print to standard output as JSON."""
    write(json.dumps(value, indent=2))


def flush() -> None:
    """Hand over what was printed to standard output, and carry on if nobody reads it any more."""
    with _dropped_if_unread(sys.stdout):
        sys.stdout.flush()


@contextlib.contextmanager
def _dropped_if_unread(stream: TextIO) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # What could not be written must not be tried again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if not isinstance(error, BrokenPipeError):
            raise


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within it SIGTERM is a KeyboardInterrupt, as Ctrl-C is. A second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # What the parent process chose to ignore (as nohup does) stays ignored.
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}

    def interrupt(*_: object) -> NoReturn:
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    try:
        for number in before:
            signal.signal(number, interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Silence:
    """Shows nothing."""

    def show(self, progress: Progress) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Leave nothing behind."""


class Lines:
    """A line first, last, and now and then."""

    def __init__(self) -> None:
        self._last: Progress | None = None

    def show(self, progress: Progress) -> None:
        """Print a line if it is time for one."""
        if self._last is None or _is_time(self._last, progress):
            self._last = progress
            done = f"{format_size(progress.bytes_done)} of {format_size(progress.bytes_total)}"
            say("  ".join([f"{_percent(progress):>5}", done, *_pace(progress)]))

    def close(self) -> None:
        """Leave nothing behind: every line was complete."""


class Bar:
    """A bar with percent, speed and the time left."""

    def __init__(self) -> None:
        # Imported here: neither --help nor a log file needs it.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._bar = BarColumn()
        self._rich = Progress(
            TextColumn("{task.fields[percent]:>5}", markup=False),
            self._bar,
            TextColumn("{task.fields[pace]}", markup=False),
            console=Console(stderr=True),
            auto_refresh=False,  # progress comes often enough, and there is one thread less to stop
        )
        self._task = self._rich.add_task("", total=1.0, percent="0 %", pace="")

    def show(self, progress: Progress) -> None:
        """Draw the bar as far as the work is done."""
        # What width the text leaves is the bar's, but for some columns where the terminal can echo a ^C.
        self._bar.bar_width = max(4, min(40, self._rich.console.width - _TEXT_WIDTH - 3))
        self._rich.start()  # at the first call; no other has an effect
        self._rich.update(
            self._task,
            completed=progress.fraction,
            percent=_percent(progress),
            pace="  ".join(_pace(progress)),
            refresh=True,
        )

    def close(self) -> None:
        """Leave the bar where it is, and show the cursor again."""
        self._rich.stop()


def _is_done(progress: Progress) -> bool:
    return progress.blocks_done == progress.blocks


def _is_time(last: Progress, now: Progress) -> bool:
    if _is_done(now):
        return not _is_done(last)
    seconds = now.seconds - last.seconds
    much = _whole(LINES * now.fraction) > _whole(LINES * last.fraction)
    return seconds >= LINE_PATIENCE or (seconds >= LINE_SECONDS and much)


def _percent(progress: Progress) -> str:
    """Percent done, rounded down: 100 % is when all of it is."""
    return f"{_whole(100 * progress.fraction)} %"


def _whole(number: float) -> int:
    return int(number + 1e-6)  # 0.29 is a little less than 29 hundredths


def _pace(progress: Progress) -> list[str]:
    """Speed and time left, as far as they are known; in the end the time it took."""
    if not progress.bytes_done:
        return []
    speed = f"{progress.bytes_per_second / 1e9:.2f} GB/s"
    if _is_done(progress):
        return [speed, f"took {duration(progress.seconds)}"]
    return [speed] if progress.seconds_left is None else [speed, f"{duration(progress.seconds_left)} left"]
