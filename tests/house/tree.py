"""What the house tests look at: the files of this checkout, and the Python modules of our packages as syntax trees."""

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("gateway", "connectors", "mappings", "synthetic")
GENERATED = {"__pycache__", "dist", "node_modules"}


@dataclass(frozen=True)
class Module:
    """One Python file. `name` is how it is imported, `path` is relative to the checkout."""

    name: str
    path: Path
    lines: int
    tree: ast.Module

    def imports(self) -> Iterator[str]:
        """The full name of everything it imports: of `from a import b` both `a` and `a.b`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{self.path}:{node.lineno}: relative imports hide who imports whom"
                assert node.module is not None
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def modules() -> tuple[Module, ...]:
    """Every module of our packages."""
    return tuple(_module(path) for path in files() if path.suffix == ".py" and path.parts[0] in PACKAGES)


def _module(path: Path) -> Module:
    text = (ROOT / path).read_text(encoding="utf-8")
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    return Module(name, path, len(text.splitlines()), ast.parse(text))


@cache
def files() -> tuple[Path, ...]:
    """Every file of the checkout that is written by hand, relative to it."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        here = Path(folder).relative_to(ROOT)
        folders[:] = [name for name in folders if name not in GENERATED and (not name.startswith(".") or name == ".ci")]
        found += [here / name for name in names]
    return tuple(sorted(found))
