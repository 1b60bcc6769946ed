"""Words mean one thing everywhere, every module says what only it knows, and each stays one room."""

import ast
import re
from collections.abc import Iterator

from tests.house.tree import Module, modules

FORBIDDEN = {"tenant", "util", "utils", "helper", "helpers", "manager", "handler", "processor", "base"}
LINES = 500
ONE_ROOM = {
    "gateway.store.embedded": "one life cycle on three systems",
}
"""Modules that may be longer, and why."""


def test_names_say_what_a_thing_is() -> None:
    assert [(module.name, name) for module in modules() for name in _names(module) if FORBIDDEN & _words(name)] == []


def _names(module: Module) -> Iterator[str]:
    yield module.name
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def _words(name: str) -> set[str]:
    """`edfi_tenant` is one word: it is what Ed-Fi calls a part of its addresses."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.replace("edfi_tenant", ""))
    return set(re.split(r"[._]", spaced.lower()))


def test_a_module_says_what_only_it_knows() -> None:
    assert [module.name for module in modules() if module.tree.body and not ast.get_docstring(module.tree)] == []


def test_a_module_is_one_room() -> None:
    long = {module.name: module.lines for module in modules() if module.lines > LINES}
    assert {name: lines for name, lines in long.items() if name not in ONE_ROOM} == {}
    assert set(ONE_ROOM) - set(long) == set(), "these are short by now: take them off the list"
