"""The rules of CONTRIBUTING.md that the source itself can show: packages, imports, sizes of modules."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import napari_ct_pyramid
from napari_ct_pyramid.options import ConversionOptions

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "napari_ct_pyramid"
BENCHMARKS = ROOT / "benchmarks"

PACKAGES = {
    "cli",
    "conversion",
    "exports",
    "model",
    "neuroglancer",
    "omezarr",
    "plugin",
    "sources",
    "statistics",
    "storage",
}
BESIDE_THEM = {
    "__init__.py",
    "__main__.py",
    "errors.py",
    "options.py",
    "parsing.py",
    "calibration.py",
    "units.py",
    "napari.yaml",
    "py.typed",
}
MOST_LINES = 400

Graph = Mapping[str, AbstractSet[str]]
"""The modules that each module imports."""


def modules_of_package() -> dict[str, Path]:
    """The modules of napari_ct_pyramid by full name; a package's name stands for its __init__.py."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def modules_of_benchmarks() -> dict[str, Path]:
    """The benchmark scripts, which import one another by file name; those in peers/ do so among themselves."""
    return {
        ".".join(path.relative_to(BENCHMARKS).with_suffix("").parts): path
        for path in sorted(BENCHMARKS.rglob("*.py"))
        if "out" not in path.relative_to(BENCHMARKS).parts  # where the environments of the peers lie
    }


def imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Every name that a module imports, in functions and under TYPE_CHECKING too; `package` is where it lies."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            start = parents[: len(parents) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def import_graph(modules: Mapping[str, Path]) -> dict[str, set[str]]:
    """The modules that each of some modules imports, of these."""
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        beside = f"{package}." if BENCHMARKS in path.parents and package else ""  # scripts import by file name
        graph[name] = set()
        for target in imported(ast.parse(path.read_text(encoding="utf-8")), package):
            # `from a.b import c` means the module a.b.c, or something in the module a.b.
            candidates = (beside + target, beside + target.rpartition(".")[0])
            graph[name] |= {*[candidate for candidate in candidates if candidate in modules][:1]} - {name}
    return graph


def reachable(graph: Graph, start: str) -> set[str]:
    """All modules that a module imports, directly or through others."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for module in graph[waiting.pop()] - found:
            found.add(module)
            waiting.append(module)
    return found


def circles(graph: Graph) -> list[list[str]]:
    """The imports of every group of modules that import each other."""
    reach = {name: reachable(graph, name) for name in graph}
    groups = {frozenset(other for other in reach[name] if name in reach[other]) for name in graph} - {frozenset()}
    return [sorted(f"{name} imports {other}" for name in group for other in graph[name] & group) for group in groups]


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b imports c", "c imports b"]]


def test_imports_are_found_wherever_they_stand() -> None:
    tree = ast.parse(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .b import c\n"
        "def f():\n    from ..d import e\n    from . import g\n    import h.i\n"
    )
    assert set(imported(tree, "top.pkg")) == {"typing.TYPE_CHECKING", "top.pkg.b.c", "top.d.e", "top.pkg.g", "h.i"}


@pytest.mark.parametrize("modules", [modules_of_package(), modules_of_benchmarks()], ids=["package", "benchmarks"])
def test_no_module_imports_itself_through_others(modules: dict[str, Path]) -> None:
    found = circles(import_graph(modules))
    assert not found, "\n\n".join("\n".join(edges) for edges in found)


def test_no_module_imports_private_names_of_another() -> None:
    modules = modules_of_package()
    found = [
        f"{name} imports {target}"
        for name, path in modules.items()
        for target in imported(ast.parse(path.read_text(encoding="utf-8")), name.rpartition(".")[0])
        if target.rpartition(".")[0] in modules and re.match(r"_(?!_)", target.rpartition(".")[2])
    ]
    assert found == []


def test_only_the_command_line_names_flags_and_commands() -> None:
    """Messages elsewhere name an option by an `Advice`."""
    flags = [f"--{option.name.replace('_', '-')}" for option in fields(ConversionOptions)]
    written = re.compile(rf"({'|'.join([*flags, 'ct-pyramid [a-z]+'])})\b")
    found = []
    for name, path in modules_of_package().items():
        if not name.startswith("napari_ct_pyramid.cli"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            found += [
                f"{name}, line {node.lineno}: {node.value}"
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
                if id(node) not in docstrings and written.search(node.value)
            ]
    assert found == []


def names_of(path: Path) -> set[str]:
    """The names that a module defines or imports at its top level."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return found


def test_benchmarks_import_names_that_exist() -> None:
    """No other test imports them: they need packages that the tests do not."""
    modules = modules_of_package()
    missing = []
    for name, path in modules_of_benchmarks().items():
        for target in imported(ast.parse(path.read_text(encoding="utf-8")), ""):
            module, _, wanted = target.rpartition(".")
            if target.startswith("napari_ct_pyramid.") and target not in modules:
                public = module == "napari_ct_pyramid" and wanted in napari_ct_pyramid.__all__
                if not public and (module not in modules or wanted not in names_of(modules[module])):
                    missing.append(f"{name} imports {target}")
    assert missing == []


def test_every_module_lies_in_a_package() -> None:
    there = {path.name for path in SOURCE.iterdir() if path.name != "__pycache__"}
    assert there == PACKAGES | BESIDE_THEM


@pytest.mark.parametrize("folder", [SOURCE, BENCHMARKS], ids=lambda folder: folder.name)
def test_no_module_is_too_long(folder: Path) -> None:
    modules = modules_of_package() if folder == SOURCE else modules_of_benchmarks()
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules.items()}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


@pytest.mark.parametrize("path", sorted(SOURCE.glob("*/**/__init__.py")), ids=lambda path: path.parent.name)
def test_a_package_states_its_duty_and_what_it_does_not_know(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    text = ast.get_docstring(tree)
    assert text
    assert len(tree.body) == 1, "a package's __init__.py holds only its docstring"
    assert re.search(r"\b(no|not|nothing|neither|only)\b", text, re.IGNORECASE), "it does not say what it does not know"


def test_every_module_has_a_docstring() -> None:
    without = [
        name for name, path in modules_of_package().items() if not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert without == []


def names_in(value: Any) -> Iterator[str]:
    """All strings within a value of a TOML file."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (name for item in value.values() for name in names_in(item))
    elif isinstance(value, list):
        yield from (name for item in value for name in names_in(item))


def test_the_configuration_names_packages_and_no_modules() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    modules = modules_of_package()
    named = [match for text in names_in([tools["importlinter"], tools["mypy"]])
             for match in re.findall(r"\bnapari_ct_pyramid(?:\.\w+)*", text)]  # fmt: skip
    assert named
    assert [name for name in named if modules[name].name != "__init__.py"] == []
    (layers,) = [contract["layers"] for contract in tools["importlinter"]["contracts"] if contract["type"] == "layers"]
    assert {*layers} == PACKAGES | {"__main__", "errors", "units", "calibration", "parsing", "options"}
