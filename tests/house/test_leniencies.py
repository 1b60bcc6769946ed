"""Every leniency that a run may tell of is explained in docs/leniencies.md, and no other."""

import ast
import re
from collections.abc import Iterator

from tests.house.tree import ROOT, Module, modules

ROW = re.compile(r"^\| `([^`]+)` \| (\S.*) \| (\S.*) \|$", re.MULTILINE)


def test_every_leniency_is_explained_and_every_explanation_has_its_leniency() -> None:
    used = {code for module in modules() for code in _codes(module)}
    rows = ROW.findall((ROOT / "docs/leniencies.md").read_text(encoding="utf-8"))
    explained = [code for code, _, _ in rows]
    assert sorted(used - set(explained)) == [], "explain these in docs/leniencies.md"
    assert sorted(set(explained) - used) == [], "nothing has these codes any more"
    assert len(explained) == len(set(explained))
    assert [code for code in used if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)] == []


def _codes(module: Module) -> Iterator[str]:
    """The first argument of `codes.notice(...)` and of `Notice(...)`, where it is not passed on."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called not in ("notice", "Notice"):
            continue
        code = node.args[0] if node.args else next(one.value for one in node.keywords if one.arg == "code")
        if isinstance(code, ast.Constant):
            yield str(code.value)
        elif not module.name.startswith("gateway."):
            raise AssertionError(f"{module.path}:{node.lineno}: write the code out, {ast.unparse(code)} hides it")
