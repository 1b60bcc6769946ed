"""Nothing of the published contracts is copied into the project: tests read them where they lie."""

import hashlib
from pathlib import Path

from tests.house.tree import ROOT, files

WORTH_A_LOOK = 100
"""Bytes without white space; what is shorter is alike by chance."""


def test_no_file_of_the_contracts_is_copied(contracts: Path) -> None:
    theirs = {_mark(path): path.relative_to(contracts) for path in sorted(contracts.rglob("*")) if path.is_file()}
    ours = {path: _mark(ROOT / path) for path in files()}
    assert len(theirs) > 100
    assert {str(path): str(theirs[mark]) for path, mark in ours.items() if mark in theirs and mark is not None} == {}


def _mark(path: Path) -> str | None:
    """The same for the same text, however it is indented and its lines end."""
    text = b"".join(path.read_bytes().split())
    return hashlib.sha256(text).hexdigest() if len(text) > WORTH_A_LOOK else None
