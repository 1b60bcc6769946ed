"""Every check is carried out, is explained in docs/quality.md in its own words, and nothing else is there."""

import re

from gateway.quality import CHECKS, SEVERITIES
from gateway.store.quality import WRITTEN
from tests.house.tree import ROOT

ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def test_every_check_is_explained_in_its_own_words() -> None:
    told = ROW.findall((ROOT / "docs/quality.md").read_text(encoding="utf-8"))
    assert told == [
        (check.code, check.kind.replace("_", " ") or "any", check.severity, check.says, check.look) for check in CHECKS
    ]


def test_every_check_is_carried_out() -> None:
    assert {(check.code, check.kind) for check in CHECKS} == WRITTEN
    assert len({(check.code, check.kind) for check in CHECKS}) == len(CHECKS)
    assert {check.severity for check in CHECKS} == set(SEVERITIES)
