"""No module but those of the command line writes its flags and commands in a message: an `Advice` names the option."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import napari_ct_pyramid
from napari_ct_pyramid.cli.render import flags
from napari_ct_pyramid.options import ConversionOptions

PACKAGE = Path(napari_ct_pyramid.__file__).parent
FLAGS = {flag for option in fields(ConversionOptions) for flag in flags(option.name)} | {
    "--source", "--repair", "--output-dir", "--dask", "--link", "--screenshot", "--no-browser", "--dry-run", "--quiet",
    "--json", "--debug",
}  # fmt: skip
FLAG_OR_COMMAND = re.compile(
    rf"(?<![\w-])({'|'.join(sorted(FLAGS))})(?![\w-])|\bct-pyramid (convert|info|verify|demo|view|neuroglancer)\b"
)
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if "cli" not in path.relative_to(PACKAGE).parts]


def texts(tree: ast.AST) -> Iterator[ast.Constant]:
    """The string literals of a module, but for its docstrings and other strings that are statements of their own."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_message_outside_the_command_line_names_a_flag(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    found = [(text.lineno, text.value) for text in texts(tree) if FLAG_OR_COMMAND.search(text.value)]
    assert not found


def test_the_rule_finds_what_it_forbids() -> None:
    source = '"""Docs: --axes."""\nraise ValueError(f"Try --max-memory {size}.", "or -c 128", "a -- b", "x-l 3")'
    found = {text.value for text in texts(ast.parse(source)) if FLAG_OR_COMMAND.search(text.value)}
    assert found == {"Try --max-memory ", "or -c 128"}
