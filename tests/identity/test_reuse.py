"""A number or a key that comes back as somebody else turns no child into another one."""

from typing import Any

import pytest
from sqlalchemy import text

from gateway import jobs
from gateway.store import limits, rejects
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.identity.rosters import ADA, BEN, CLEO, FILLERS, System, again, attending, denoted, published, waits

ADA_NOW = again(CLEO, number=ADA.number)
"""Another child, who was given Ada's number."""


async def test_a_number_with_another_name_and_birth_date_matches_nobody(
    store: Store, district: int, sis: System, vendor: System
) -> None:
    await sis.says(ADA, BEN, *FILLERS)
    await vendor.says(ADA_NOW, again(BEN, given="Benjamin", birth=""))
    links = await denoted(store, district)
    assert ("vendor", "v-cleo") not in links
    assert links["vendor", "v-ben"] == links["sis", "k-ben"], "another name alone is a nickname"
    assert await waits(store, district) == {("vendor", "v-cleo"): "identity-conflict"}


async def test_numbers_of_twins_that_were_mixed_up_match_neither(
    store: Store, district: int, sis: System, vendor: System
) -> None:
    one = ADA
    other = again(ADA, given="Beata", number="0007")
    await sis.says(one, other, *FILLERS)
    await vendor.says(again(one, number=other.number), again(other, number=one.number))
    assert not any(system == "vendor" for system, _ in await denoted(store, district))
    assert set((await waits(store, district)).values()) == {"identity-conflict"}


async def test_whoever_has_no_name_to_compare_is_not_given_to_the_next_owner_of_a_number(
    store: Store, district: int, sis: System, vendor: System
) -> None:
    """A file of results knows numbers only. The number that was Ada's is Cleo's this year."""
    nameless = again(ADA, given="-", family="-", birth="")
    await sis.says(ADA, BEN, *FILLERS)
    await vendor.says(nameless)
    first = await denoted(store, district)
    assert first["vendor", "v-ada"] == first["sis", "k-ada"]
    await sis.says(BEN, *FILLERS)
    assert await waits(store, district) == {("vendor", "v-ada"): "unmatched"}
    await sis.says(BEN, *FILLERS, ADA_NOW)
    assert ("vendor", "v-ada") not in await denoted(store, district)
    assert await waits(store, district) == {("vendor", "v-ada"): "identity-conflict"}
    await sis.says(BEN, *FILLERS, ADA)
    assert await waits(store, district) == {("vendor", "v-ada"): "identity-conflict"}, "two have had it by now"
    await vendor.says(again(ADA, birth=""))
    assert (await denoted(store, district))["vendor", "v-ada"] == first["sis", "k-ada"], "it says a name now"


async def test_a_key_that_comes_back_as_somebody_else_keeps_what_is_published(
    store: Store, district: int, sis: System
) -> None:
    await sis.says(ADA, BEN, *FILLERS, enrolled=["k-ben"])
    before, ids = await published(store, district), await denoted(store, district)
    other = again(CLEO, key=ADA.key)
    run = await sis.says(other, BEN, *FILLERS, enrolled=["k-ben", "k-ada"])
    assert await published(store, district) == before
    assert await denoted(store, district) == ids
    assert await attending(store, district) == {ids["sis", "k-ben"]}, "nor is Ada in the class of the other child"
    async with store.transaction(district) as c:
        aside = await rejects.rows(c, run=run["id"])
    assert {(one["collection"], one["code"]) for one in aside} == {
        ("users", "identity-conflict"),
        ("demographics", "identity-conflict"),
    }
    assert await conflicts(store, district) == {("k-ada", ids["sis", "k-ada"], "Cleo")}

    await sis.says(other, BEN, *FILLERS, enrolled=["k-ben", "k-ada"])
    assert await published(store, district) == before, "the next pull says the same, and is told the same"
    await sis.says(ADA, BEN, *FILLERS, enrolled=["k-ben", "k-ada"])
    assert await conflicts(store, district) == set(), "it was a mistake of the source, and is mended"
    assert await attending(store, district) == {ids["sis", "k-ben"], ids["sis", "k-ada"]}


@pytest.mark.parametrize("hold_all", [False, True])
async def test_a_run_that_waits_ends_no_conflict(
    store: Store, district: int, sis: System, vendor: System, actor: Actor, hold_all: bool
) -> None:
    """The next pull lacks nearly everybody, the other child too: until somebody believes that, nothing is mended."""
    await limits.set_guards(store, district, sis.id, {"hold_all": hold_all}, actor)
    await sis.says(ADA, BEN, *FILLERS, enrolled=["k-ben"])
    ids = await denoted(store, district)
    await sis.says(again(CLEO, key=ADA.key), BEN, *FILLERS, enrolled=["k-ben", "k-ada"])
    held = await sis.says(BEN, enrolled=["k-ben"])
    assert held["state"] == "held"
    await vendor.says(again(BEN))
    assert await attending(store, district) == {ids["sis", "k-ben"]}, "Ada is not in the class of the other child"
    assert await conflicts(store, district) == {("k-ada", ids["sis", "k-ada"], "Cleo")}

    await jobs.decide_hold(store, district, held["id"], "approved", actor, "They left.")
    await jobs.run_job(store, district, held["id"])
    assert await conflicts(store, district) == set()
    assert set(await published(store, district)) == {ids["sis", "k-ben"]}


async def test_also_after_the_key_was_gone_for_a_while(store: Store, district: int, sis: System) -> None:
    await sis.says(ADA, BEN, *FILLERS)
    ids = await denoted(store, district)
    await sis.says(BEN, *FILLERS)
    assert ids["sis", "k-ada"] not in await published(store, district)
    await sis.says(again(CLEO, key=ADA.key), BEN, *FILLERS)
    assert ids["sis", "k-ada"] not in await published(store, district)
    assert await conflicts(store, district) == {("k-ada", ids["sis", "k-ada"], "Cleo")}
    await sis.says(ADA, BEN, *FILLERS)
    assert (await published(store, district))[ids["sis", "k-ada"]]["given_name"] == "Ada"


async def test_a_child_may_change_its_name_or_have_its_birth_date_put_right(
    store: Store, district: int, sis: System
) -> None:
    await sis.says(ADA, BEN, *FILLERS)
    ids = await denoted(store, district)
    await sis.says(again(ADA, key=ADA.key, family="Sagebrooke"), again(BEN, key=BEN.key, birth="2013-09-07"), *FILLERS)
    people = await published(store, district)
    assert people[ids["sis", "k-ada"]]["family_name"] == "Sagebrooke"
    assert people[ids["sis", "k-ben"]]["birth_date"] == "2013-09-07"
    assert await conflicts(store, district) == set()


async def conflicts(store: Store, district: int) -> set[tuple[str, str, str]]:
    """(key, whom it denoted, who it says it is now)."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text("SELECT key, CAST(entity_id AS text) AS person, doc->>'given_name' AS now FROM identity_conflict")
        )
        found: set[Any] = {tuple(row) for row in rows}
        return found
