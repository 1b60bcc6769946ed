"""What the documents say is there, is there: links, headings, commands, make targets."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from gateway.cli import app
from tests.house.tree import ROOT, files, modules

DOCUMENTS = [path for path in files() if path.suffix == ".md"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_lead_somewhere(document: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", _text(document)):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, heading = target.partition("#")
        place = (ROOT / document.parent / path).resolve() if path else ROOT / document
        if not place.is_relative_to(ROOT) or not place.exists() or (heading and heading not in _anchors(place)):
            dead.append(target)
    assert dead == []


def _anchors(place: Path) -> set[str]:
    """The headings of a document as links name them."""
    headings = re.findall(r"^#+ (.+)$", place.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_make_targets_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", _text(Path("Makefile")), re.MULTILINE))
    assert {"demo", "test"} <= {
        word for code in _code(Path("README.md")) for word in re.findall(r"\bmake ([a-z]+)", code)
    }
    asked = {
        word for document in DOCUMENTS for code in _code(document) for word in re.findall(r"\bmake ([a-z]+)", code)
    }
    assert asked - targets == set()


def test_commands_in_documents_and_messages_exist() -> None:
    known = set(_commands(typer.main.get_command(app)))
    asked = {(str(document), text) for document in DOCUMENTS for text in _code(document)} | set(_messages())
    unknown = {
        (place, command)
        for place, text in asked
        for words in re.findall(r"\bplanbridge ([a-z][a-z-]+)(?: ([a-z][a-z-]*)\b)?", text)
        if not {command := " ".join(words).strip(), words[0]} & known
    }
    assert unknown == set()


def _messages() -> Iterator[tuple[str, str]]:
    """What the program says in back quotes, or after a colon: commands to type."""
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for command in re.findall(r"(?:`|: )(planbridge [a-z][^`]*)", node.value):
                    yield module.name, command


def _commands(group: Any, before: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        group = hasattr(command, "commands")
        if group:
            yield from _commands(command, f"{before}{name} ")
        if not group or command.invoke_without_command:
            yield f"{before}{name}"


def _code(document: Path) -> list[str]:
    """What stands in back quotes or in a block, where commands stand."""
    text = _text(document)
    blocks = re.findall(r"^( *)```.*?\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL)
    return (
        [block for _, block in blocks] + re.findall(r"`([^`\n]+)`", text) + re.findall(r"^    .+$", text, re.MULTILINE)
    )


def _text(document: Path) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def test_every_decision_has_the_same_four_parts_and_stands_in_the_list() -> None:
    listed = _text(Path("docs/decisions/README.md"))
    for path in DOCUMENTS:
        if path.match("docs/decisions/0*.md"):
            assert re.findall(r"^## (.+)$", _text(path), re.MULTILINE) == [
                "Context",
                "Decision",
                "Consequences",
                "Alternatives",
            ], path
            assert f"({path.name})" in listed


def test_every_demand_of_the_essay_names_tests_that_exist() -> None:
    rows = re.findall(r"^\| (E\d+) \|[^|]+\|([^|]*)\|", _text(Path("docs/success-plan.md")), re.MULTILINE)
    assert [number for number, _ in rows] == [f"E{n}" for n in range(1, 27)]
    named = {number: re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", tests) for number, tests in rows}
    assert [number for number, tests in named.items() if not tests] == []


def test_tests_that_documents_name_exist() -> None:
    gone = [
        f"{document}: {file}::{name}"
        for document in DOCUMENTS
        for file, name in re.findall(r"\b(tests/[\w/]+\.py)::(\w+)", _text(document))
        if not (ROOT / file).exists() or f"def {name}(" not in _text(Path(file))
    ]
    assert gone == []
