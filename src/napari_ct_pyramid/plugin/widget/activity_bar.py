"""Progress in napari's activity dock, and in words."""

from __future__ import annotations

from collections.abc import Callable

from napari.utils.progress import cancelable_progress

from napari_ct_pyramid.conversion.progress import Pace, Progress
from napari_ct_pyramid.model.formatting import format_size, time_left


class ActivityBar(cancelable_progress):
    """A job in napari's activity dock, counted in megabytes, since Qt's bars count only to 2**31.

    Parameters
    ----------
    title : str
        The words before the bar.
    cancel : callable
        Called when the user presses Cancel there. (napari's class only sets a flag.)
    """

    def __init__(self, title: str, cancel: Callable[[], None]) -> None:
        self._words = ""
        self._megabytes = 0
        self._cancel_job = cancel
        super().__init__(desc=title, total=0)

    def cancel(self) -> None:
        super().cancel()
        self._cancel_job()

    def show(self, progress: Progress) -> None:
        self._words = progress_words(progress)
        megabytes = max(1, progress.bytes_total // 1_000_000)
        if megabytes != self._megabytes:
            self.total = self._megabytes = megabytes
        done = int(progress.fraction * megabytes)
        self.n = done
        self.events.value(value=done)
        self.events.eta(value=self._words)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:  # noqa: ARG002
        """Replace the text of tqdm, which would also go to the terminal."""
        self.events.eta(value=self._words)


def progress_words(progress: Pace) -> str:
    """Rate and time left: ``"0.55 GB/s · 35 s left"``."""
    words = ["comparing the source"] if progress.comparing else []
    words += [f"{format_size(progress.bytes_per_second)}/s"] if progress.bytes_done else []
    if progress.seconds_left is not None and progress.seconds >= 1:
        words.append(f"{time_left(progress.seconds_left)} left")
    return " · ".join(words)
