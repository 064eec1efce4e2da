"""Ctrl-C and SIGTERM: the first interrupts the command, which cleans up; the second ends the process at once.

Either way the user reads one line, and the exit status is 128 and the number of the signal.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = b"\x1b[?25h"  # a progress bar hides it
_AGAIN_SECONDS = 0.05


class Interruption:
    """The interruption of a command, once a signal has come."""

    def __init__(self) -> None:
        self._number = signal.SIGINT
        self._reported = False
        self.happened = False

    def receive(self, number: int, _: object = None) -> NoReturn:
        """Handle a signal: raise KeyboardInterrupt, or end the process if it is the second one."""
        if self.happened:
            self.end_process(number)
        self.happened, self._number = True, signal.Signals(number)
        raise KeyboardInterrupt

    def report(self, *facts: str) -> int:
        """Print the line, and return the exit status."""
        self._print(" ".join(["ct-pyramid: Interrupted.", *facts]))
        return 128 + self._number

    def end_process(self, number: int, _: object = None) -> NoReturn:
        """End the process now, as a kill would, whatever it is doing."""
        self._print("ct-pyramid: Interrupted.")
        os._exit(128 + number)

    def raise_again(self, ignored: Any) -> None:
        """Interrupt once more, after Python has ignored a KeyboardInterrupt in a place where nothing can be raised.

        It replaces `sys.unraisablehook`.
        """
        if ignored.exc_type is not KeyboardInterrupt:
            sys.__unraisablehook__(ignored)
            return
        self.happened = False
        again = threading.Timer(_AGAIN_SECONDS, _signal_main_thread, [self._number])
        again.daemon = True
        again.start()

    def _print(self, line: str) -> None:
        if self._reported:
            return
        self._reported = True
        with contextlib.suppress(OSError, ValueError, AttributeError):  # nobody reads standard error any more
            cursor = _SHOW_CURSOR if os.isatty(sys.stderr.fileno()) else b""
            sys.stderr.flush()
            os.write(sys.stderr.fileno(), cursor + f"{line}\n".encode(errors="backslashreplace"))


def _signal_main_thread(number: int) -> None:
    if hasattr(signal, "pthread_kill"):
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, number)  # a signal to another thread would not end a sleep of the main thread
    else:
        signal.raise_signal(number)


@contextlib.contextmanager
def interruptible(*, process_ends: bool = False) -> Iterator[Interruption]:
    """In this context, SIGTERM raises KeyboardInterrupt, as Ctrl-C does. A second signal ends the process at once.

    If `process_ends`, a signal after this context ends the process at once, too, until all threads have ended; then the
    exit status is final, and signals are ignored. Otherwise they do what they did before.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = _handlers()
    hook = sys.unraisablehook
    if process_ends:
        atexit.register(_ignore, tuple(before))
    try:
        sys.unraisablehook = interruption.raise_again
        for number in before:
            signal.signal(number, interruption.receive)
        yield interruption
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, interruption.end_process if process_ends else handler)


@contextlib.contextmanager
def ends_at_once() -> Iterator[None]:
    """In this context, a signal ends the process. Qt aborts when a KeyboardInterrupt is raised in one of its calls."""
    before = _handlers() if threading.current_thread() is threading.main_thread() else {}
    interruption = Interruption()
    try:
        for number in before:
            signal.signal(number, interruption.end_process)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore(numbers: tuple[int, ...]) -> None:
    """Ignore signals: while Python ends, one would kill the process, and change its exit status."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def _handlers() -> dict[int, Any]:
    """What the signals do now, without those that the parent process ignores (as nohup does): they stay ignored.

    Nor those that a program around Python handles.
    """
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    return {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
