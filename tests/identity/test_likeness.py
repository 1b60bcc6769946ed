"""Exact rules link nobody wrongly on the labelled set; what is likely is proposed, and never linked."""

import ast
import logging
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

from gateway import decisions, waiting
from gateway.errors import ConfigError
from gateway.likeness import likenesses
from gateway.store.database import Store
from synthetic.doubles import KINDS, doubles
from tests.house.tree import modules
from tests.identity.measure import measured
from tests.identity.rosters import ADA, BEN, CLEO, FILLERS, System, again, denoted

TYPED = again(ADA, family="Larskmith", number="")


async def test_on_the_labelled_set_no_link_is_wrong_and_most_proposals_are_right(
    store: Store, sis: System, vendor: System
) -> None:
    found = await measured(store, sis, vendor, seed=3, each=6)
    assert found.wrong_links == []
    assert found.missed_links == []
    assert found.linked >= 6 * 4
    assert found.precision >= 0.9, found.by_kind
    assert found.recall >= 0.8, found.by_kind


def test_the_set_is_the_same_for_the_same_seed_and_has_every_kind() -> None:
    one, same, other = doubles(1, 3), doubles(1, 3), doubles(2, 3)
    assert one == same != other
    assert set(one.kinds.values()) == set(KINDS)
    assert len({entry.key for entry in one.second}) == len(one.second)


async def test_what_is_certain_to_a_hair_is_still_not_linked(
    store: Store, district: int, sis: System, vendor: System
) -> None:
    await sis.says(ADA, BEN, *FILLERS)
    almost = again(ADA, number="1")
    await vendor.says(almost)
    [case], compared = await waiting.propose(store, district)
    assert compared == 1 and case.candidates[0].score is not None and case.candidates[0].score > 0.9999
    assert case.candidates[0].weights["names"] > 0
    for say in (almost, again(almost, key="v-ada", phone="555-0142")):
        await vendor.says(say)
        await sis.says(ADA, BEN, *FILLERS, again(CLEO, key=f"k-{say.phone}"))
        assert ("vendor", "v-ada") not in await denoted(store, district)


def test_nothing_that_writes_links_knows_a_likelihood() -> None:
    """The statements that write links name no proposal and no score, wherever they stand."""
    writing = {module.name: text for module in modules() for text in _statements(module.tree) if _writes_links(text)}
    assert {"gateway.store.changes", "gateway.store.decisions"} <= set(writing)
    assert [name for name, text in writing.items() if "identity_proposal" in text or "score" in text] == []
    asking = {module.name for module in modules() if "gateway.likeness" in module.imports()}
    assert asking == {"gateway.waiting"}


def _statements(tree: ast.AST) -> list[str]:
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _writes_links(text: str) -> bool:
    return "INSERT INTO link " in text or "UPDATE link " in text


async def test_a_proposal_is_shown_in_the_queue_and_keeps_a_plan_from_being_finalized(
    store: Store, district: int, sis: System, vendor: System, decide: Callable[..., Any]
) -> None:
    await sis.says(ADA, BEN, *FILLERS)
    await vendor.says(TYPED)
    ada = (await denoted(store, district))["sis", "k-ada"]
    assert not (await waiting.queue(store, district))[0][0].candidates, "no rule finds it"
    await waiting.propose(store, district)
    [case], _ = await waiting.queue(store, district)
    assert [one.person for one in case.candidates] == [ada]
    await decide(decisions.refuse, case.id, ada)
    assert await waiting.propose(store, district) == ([], 0), "what was refused is not proposed again"


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "splink", None)
    with pytest.raises(ConfigError, match="identity"):
        likenesses([({"given_name": "Ada"}, {"given_name": "Ada"}, ())])
    assert likenesses([]) == []


def test_it_calls_nobody_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing of it leaves this machine")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    caplog.set_level(logging.DEBUG)
    child = {"given_name": "Ada", "family_name": "Larksmith", "birth_date": "2014-03-01"}
    [found] = likenesses([(child, child, ())])
    assert found.score > 0.9
    assert "Larksmith" not in caplog.text + "".join(capfd.readouterr())
