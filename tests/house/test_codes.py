"""Every code that a person may meet is explained in docs/errors.md, and no other."""

import ast
import inspect
import re
from collections.abc import Iterator

from gateway.connector import Unreadable
from gateway.errors import AuthError, ConfigError, RecordError, Refused, Unavailable
from gateway.guard import Hold
from gateway.http.answers import Failure
from gateway.plans import GUARDS
from gateway.store.changes import Waiting
from gateway.store.recognition import Why
from gateway.store.runs import Reject
from tests.house.tree import ROOT, Module, modules

CARRIERS = (ConfigError, AuthError, Unavailable, RecordError, Refused, Failure, Reject, Hold, Waiting, Why, Unreadable)
PLACES = {kind.__name__: list(inspect.signature(kind).parameters).index("code") for kind in CARRIERS}
"""What carries a code, and as which of its arguments."""
ELSEWHERE = {
    "no-anchor": "gateway/store/changes.py",
    "request-invalid": "gateway/api/problems.py",
    **dict.fromkeys(
        ("import-id", "import-differs", "import-row", "staff-unknown", "staff-ambiguous"), "gateway/intake.py"
    ),
}
"""Codes that a statement writes, that only the API answers, or that stand in a report."""


def test_every_code_is_explained_and_every_explanation_has_its_code() -> None:
    raised = {code for module in modules() for code in _codes(module)}
    guards = {code for checks in GUARDS.values() for code, _, _ in checks}
    explained = re.findall(r"^### `(.+)`$", (ROOT / "docs/errors.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert all(code in (ROOT / path).read_text(encoding="utf-8") for code, path in ELSEWHERE.items())
    assert sorted((raised | guards | set(ELSEWHERE)) - set(explained)) == [], "explain these in docs/errors.md"
    assert sorted(set(explained) - raised - guards - set(ELSEWHERE)) == [], "nothing has these codes any more"
    assert len(explained) == len(set(explained))
    assert len(raised) > 50


def test_codes_are_spelt_alike() -> None:
    assert [
        code for module in modules() for code in _codes(module) if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)
    ] == []


def _codes(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name in PLACES:
                yield from _literals(module, node, _argument(node, PLACES[name]))


def _argument(call: ast.Call, place: int) -> ast.expr:
    for n, argument in enumerate(call.args):
        if n == place or isinstance(argument, ast.Starred):
            return argument
    return next(keyword.value for keyword in call.keywords if keyword.arg == "code")


def _literals(module: Module, call: ast.Call, code: ast.expr) -> Iterator[str]:
    """The texts that an argument may be. A code must stand where it is used, to be found by whoever reads it."""
    match code:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from _literals(module, call, body)
            yield from _literals(module, call, orelse)
        case ast.Starred(value=ast.Name(id=name)):
            for node in ast.walk(module.tree):
                match node:
                    case ast.Assign(targets=[ast.Name(id=target)], value=ast.Tuple(elts=[first, *_])) if target == name:
                        yield from _literals(module, call, first)
        case ast.Attribute(attr="code"):
            return  # passed on from something that has one
        case _:
            raise AssertionError(f"{module.path}:{call.lineno}: write the code out, {ast.unparse(code)} hides it")
