"""The terminal: both output streams, and the display of progress.

All that it knows of jobs is the `Pace` that they yield.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from napari_ct_pyramid.model.formatting import duration, format_size, time_left

if TYPE_CHECKING:
    from napari_ct_pyramid.conversion.progress import Pace


# A log file gets a line of progress after each tenth of the work, but at least LINE_SECONDS after the last line. After
# LINE_PATIENCE seconds it gets one in any case. So the log of a long conversion is short, but shows that it runs.
LINES = 10
LINE_SECONDS = 10
LINE_PATIENCE = 60

_TEXT_WIDTH = len(" 43 %  9.99 GB/s  59 min 59 s left")


class Display(Protocol):
    """Shows the progress of a conversion."""

    def show(self, progress: Pace) -> None:
        """Show this progress."""

    def close(self) -> None:
        """Leave the terminal as it was before."""


def choose_display(*, quiet: bool) -> Display:
    """A bar if standard error is a terminal that can draw one, otherwise lines; nothing if `quiet`."""
    if quiet:
        return Silence()
    draws = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return Bar() if draws else Lines()


def width() -> int:
    """Columns that a line on standard error may fill."""
    return shutil.get_terminal_size().columns if sys.stderr.isatty() else 1000


# Names and metadata may hold control characters, which would be commands to the terminal.
_CONTROLS = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160)) if chr(number) not in "\t\n"}


def print_message(text: str) -> None:
    """Print to standard error. Do nothing if nobody reads it any more."""
    with contextlib.suppress(OSError), _dropped_if_unread(sys.stderr):
        sys.stderr.write(f"{text.translate(_CONTROLS)}\n")
        sys.stderr.flush()


def print_error(text: str) -> None:
    """Print an error."""
    print_message(f"ct-pyramid: error: {text}")


def write(text: str) -> None:
    """Print to standard output. Do nothing if nobody reads it any more."""
    with _dropped_if_unread(sys.stdout):
        # A file name may hold bytes that are not text in the terminal's encoding.
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.translate(_CONTROLS).encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()


def write_json(value: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Print to standard output as JSON."""
    write(json.dumps(value, indent=2))


@contextlib.contextmanager
def _dropped_if_unread(stream: TextIO) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Otherwise Python would try to write the rest again when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if not isinstance(error, BrokenPipeError):
            raise


class Silence:
    """Shows nothing."""

    def show(self, progress: Pace) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Do nothing."""


class Lines:
    """Prints a first and a last line, and some in between."""

    def __init__(self) -> None:
        self._last: Pace | None = None

    def show(self, progress: Pace) -> None:
        """Print a line if one is due."""
        if self._last is None or _is_due(self._last, progress):
            self._last = progress
            done = f"{format_size(progress.bytes_done)} of {format_size(progress.bytes_total)}"
            print_message("  ".join([f"{_percent(progress):>5}", done, *_pace(progress)]))

    def close(self) -> None:
        """Do nothing: every line is complete."""


class Bar:
    """Draws a bar with percent, rate and time left."""

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
            auto_refresh=False,  # progress comes often enough: no thread is needed
        )
        self._task = self._rich.add_task("", total=1.0, percent="0 %", pace="")

    def show(self, progress: Pace) -> None:
        """Draw the bar."""
        # The bar takes the width that the text leaves, less some columns in which the terminal can echo ^C.
        pace = "  ".join(_pace(progress))
        text = max(_TEXT_WIDTH, len(pace) + len("100 %  "))
        self._bar.bar_width = max(4, min(40, self._rich.console.width - text - 3))
        self._rich.start()  # only the first call has an effect
        self._rich.update(
            self._task,
            completed=progress.fraction,
            percent=_percent(progress),
            pace=pace,
            refresh=True,
        )

    def close(self) -> None:
        """Leave the bar where it is, and show the cursor again."""
        self._rich.stop()


def _is_done(progress: Pace) -> bool:
    return progress.blocks_done == progress.blocks and not progress.comparing


def _is_due(last: Pace, now: Pace) -> bool:
    if _is_done(now):
        return not _is_done(last)
    seconds = now.seconds - last.seconds
    a_tenth_more = _whole(LINES * now.fraction) > _whole(LINES * last.fraction)
    return seconds >= LINE_PATIENCE or (seconds >= LINE_SECONDS and a_tenth_more)


def _percent(progress: Pace) -> str:
    """Percent done, rounded down, so that 100 % means that all is done."""
    return f"{_whole(100 * progress.fraction)} %"


def _whole(number: float) -> int:
    return int(number + 1e-6)  # 0.29 is a little less than 29 hundredths


def _pace(progress: Pace) -> list[str]:
    """Rate and time left, if they are known; at the end, the time it took. What is done, if it is not the usual."""
    # In the first second, a rate mostly measures how long it takes to start.
    rate = [f"{format_size(progress.bytes_per_second)}/s"] if progress.bytes_done and progress.seconds >= 1 else []
    if _is_done(progress):
        return [*rate, f"took {duration(progress.seconds)}"]
    left = progress.seconds_left
    words = [*rate, f"{time_left(left)} left"] if rate and left is not None else rate
    return ["comparing the source", *words] if progress.comparing else words
