"""The entry point of the command line `ct-pyramid`: runs a command, and returns its exit status.

0
    Done.
1
    The work failed after it had begun, or failed for some of many volumes.
2
    The request or the input is wrong, and nothing was written. Also `ct-pyramid` alone, which prints its help to
    standard error (as the commands made with Click and clap do).
130, 143
    Interrupted, by Ctrl-C or by SIGTERM.

This module imports next to nothing, so that an interruption has one line of text also while the commands are imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .interruption import interruptible


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments. Default: those of the process, which ends afterwards.

    Returns
    -------
    int
        The exit status.
    """
    with interruptible(process_ends=argv is None) as interruption:
        try:
            from .commands import run

            return run(sys.argv[1:] if argv is None else argv, complete_words=argv is None)
        except KeyboardInterrupt as interrupt:
            return interruption.report(*map(str, interrupt.args))
        except BaseException:
            if not interruption.happened:
                raise
            return interruption.report()  # a library has turned the interruption into an error of its own
