"""A parser of the command line whose mistakes are `RequestError`, and the suggestions for misspelled words."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, NoReturn

from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.options import ConversionOptions

from .render import flags


class Parser(argparse.ArgumentParser):
    """Reports every mistake as a `RequestError`, and prints nothing."""

    def __init__(self, **settings: Any) -> None:
        # `parse` finds the help flag itself: argparse cannot format help while it parses intermixed arguments.
        super().__init__(
            add_help=False, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings
        )
        self._flag_names: list[str] = []

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message[:1].upper()}{message[1:]}. See {self.prog} --help.")

    def flag(self, group: Any, *names: str, values: Iterable[str] | None = None, **settings: Any) -> None:
        """Add an option to a group. A shell can complete its `values`."""
        action = group.add_argument(*names, **settings)
        self._flag_names += names
        if values is not None:
            action.completer = lambda **_: list(values)

    def format_help(self) -> str:
        """The help, with an option's value only once (`-c, --chunks N`), as argparse shows it from Python 3.13."""
        text = super().format_help()
        for option in fields(ConversionOptions):
            short, *long = flags(option.name)
            if long:
                text = text.replace(f"{short} {option.metadata['metavar']}, {long[0]}", f"{short}, {long[0]}")
        return text

    def refuse_unknown(self, words: Sequence[str]) -> None:
        """Suggest what was meant by words that this parser does not know.

        Raises
        ------
        RequestError
            If there are any.
        """
        for word in words:
            name = word.split("=")[0]
            if name in self._flag_names:
                continue
            if name.startswith("-"):
                hint = did_you_mean(name, self._flag_names)
                raise RequestError(f"There is no option {name}.{hint} See {self.prog} --help.")
            raise RequestError(f"There is one argument too many: {word}. See {self.prog} --help.")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question with the known word that begins like this one or is most similar to it; empty if there is none."""
    names = list(known)
    near = [name for name in names if name.startswith(word)] or difflib.get_close_matches(word, names, 1, 0.7)
    return f" Did you mean {near[0]}?" if near else ""
