"""A hook of MkDocs: makes the pages of the reference from the parser, the docstrings and the tables of formats."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

import napari_ct_pyramid as ct
from napari_ct_pyramid.cli import arguments, main
from napari_ct_pyramid.exports.kinds import KINDS
from napari_ct_pyramid.sources.registry import readme_table

ROOT = Path(__file__).resolve().parents[1]


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made."""
    for name, lines in _pages():
        files.append(File.generated(config, f"reference/{name}.md", content="\n".join([*lines, ""])))
    return files


def _pages() -> Iterator[tuple[str, Iterator[str]]]:
    yield "command-line", _command_line()
    yield "python", _python()
    yield "formats", _formats()
    yield "exit-status", _exit_status()


def _command_line() -> Iterator[str]:
    yield "# Command line\n"
    yield "`ct-pyramid COMMAND --help` prints the same. Options and arguments may be in any order.\n"
    for name, parser in arguments.parsers().items():
        usage = "\n".join(line.strip() for line in parser.format_usage().removeprefix("usage: ").splitlines())
        yield f"## {name}\n\n{parser.description}\n\n```text\n{usage}\n```\n"
        for group in parser._action_groups:
            actions = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
            if not actions:
                continue
            yield f"| {group.title} | |\n| --- | --- |"
            yield from (f"| {_names(action)} | {_cell(action.help or '')} |" for action in actions)
            yield ""


def _names(action: argparse.Action) -> str:
    names = ", ".join(f"`{name}`" for name in action.option_strings)
    value = f"`{action.metavar}`".replace(" | ", "` or `") if action.metavar and action.nargs != 0 else ""
    return f"{names} {value}".strip()


def _cell(text: str) -> str:
    return " ".join(text.replace("%%", "%").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").split())


def _python() -> Iterator[str]:
    yield "# Python\n"
    yield "```python\nimport napari_ct_pyramid as ct\n```\n"
    functions = [name for name in ct.__all__ if name[0].islower()]
    errors = [name for name in ct.__all__ if _is_error(name)]
    others = [name for name in ct.__all__ if name not in functions and name not in errors]
    for title, names in (("Functions", functions), ("Results and options", others), ("Errors", errors)):
        yield f"## {title}\n"
        for name in names:
            yield f"::: {_path(name)}\n    options: {{heading_level: 3, show_root_toc_entry: true}}\n"


def _is_error(name: str) -> bool:
    value = getattr(ct, name)
    return isinstance(value, type) and issubclass(value, Exception)


def _path(name: str) -> str:
    value = getattr(ct, name)
    return f"{value.__module__}.{name}"


def _formats() -> Iterator[str]:
    yield "# Formats\n\n## What it reads\n"
    yield "Volumes of float16 to float64 and of integers with 8 to 64 bits; those of 64 bits are stored in fewer.\n"
    yield readme_table()
    yield "\n## What export writes\n\n| ending of OUTPUT | what |\n| --- | --- |"
    for kind in KINDS:
        endings = ", ".join(f"`{ending}`" for ending in kind.endings) or "none, or `/`"
        yield f"| {endings} | {_cell(kind.phrase)} |"


def _exit_status() -> Iterator[str]:
    text = ast.get_docstring(ast.parse(Path(str(main.__file__)).read_text(encoding="utf-8"))) or ""
    yield "# Exit status\n\n| status of `ct-pyramid` | meaning |\n| --- | --- |"
    for status, meaning in re.findall(r"^(\d[\d, ]*)\n((?:    .*\n?)+)", text, re.MULTILINE):
        yield f"| {status} | {_cell(meaning)} |"
    yield "\nErrors go to standard error, in one line each, results to standard output. `--debug` adds the traceback."
