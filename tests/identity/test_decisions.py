"""What people decide about who is who holds against every pull, and can be undone."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from gateway import clock, decisions, planning, waiting
from gateway.errors import ConfigError, Refused
from gateway.settings import Settings
from gateway.store import blackouts, cases, history, notices, retention
from gateway.store import plans as stored
from gateway.store.database import Store
from gateway.store.decisions import listed as decided
from gateway.store.registers import Actor
from gateway.waiting import Case
from tests.identity.rosters import ADA, BEN, CLEO, FILLERS, System, again, attending, denoted, published, waits


async def the_case(store: Store, district: int) -> Case:
    [found], _ = await waiting.queue(store, district)
    return found


ADA_THERE = again(ADA, number="1")
"""The vendor's spreadsheet has lost the zeros."""


# --- the queue


async def test_whoever_waits_is_listed_with_whom_they_resemble_and_how(
    store: Store, district: int, sis: System, vendor: System
) -> None:
    await sis.says(ADA, BEN, CLEO, *FILLERS)
    swapped = again(BEN, given=BEN.family, family=BEN.given, number="77")
    reused = again(CLEO, given="Dario", family="Ironleaf", birth="2010-05-05", number=CLEO.number)
    stranger = again(CLEO, key="v-else", given="Ivo", family="Jadewright", birth="2011-01-01", number="4711")
    await vendor.says(ADA_THERE, swapped, reused, stranger)
    found, causes = await waiting.queue(store, district)
    ids = await denoted(store, district)
    told = {
        one.key[1]: [(c.person, c.resemblance.strength, c.resemblance.how) for c in one.candidates] for one in found
    }
    assert told == {
        "v-ada": [(ids["sis", "k-ada"], "strong", ["same number without zeros", "same name and birth date"])],
        "v-ben": [(ids["sis", "k-ben"], "fair", ["swapped names and birth date"])],
        "v-cleo": [(ids["sis", "k-cleo"], "conflict", ["same number, other birth date"])],
        "v-else": [],
    }
    assert causes == {"unmatched": 3, "identity-conflict": 1}
    assert [one.key[1] for one in found][-1] == "v-else", "who resembles nobody comes last"


async def test_a_number_the_source_has_changed_leads_to_whom_it_was(
    store: Store, district: int, sis: System, vendor: System
) -> None:
    await sis.says(ADA, BEN, *FILLERS)
    await sis.says(again(ADA, key=ADA.key, number="5001"), BEN, *FILLERS)
    await vendor.says(again(ADA, birth=""))
    [candidate] = (await the_case(store, district)).candidates
    assert candidate.resemblance.how == ["former number", "same name"]


async def test_what_is_shown_is_masked_until_somebody_gives_a_reason(
    store: Store, district: int, sis: System, vendor: System, actor: Actor
) -> None:
    await sis.says(ADA, BEN, *FILLERS)
    await vendor.says(ADA_THERE)
    case = await the_case(store, district)
    shown = str(await waiting.side_by_side(store, district, case.id, actor))
    for secret in ("Larksmith", "Ada", "2014-03-01", "0001", "v-ada", "k-ada"):
        assert secret not in shown
    with pytest.raises(Refused, match="reason"):
        await waiting.side_by_side(store, district, case.id, actor, reveal=True)
    shown = str(await waiting.side_by_side(store, district, case.id, actor, reveal=True, because="Two Adas?"))
    assert "Larksmith" in shown and "2014-03-01" in shown
    assert await acts(store, district) == [("identity-reveal", case.id, "Two Adas?")]


# --- this key is that person, or not


async def test_a_confirmed_key_stays_whatever_is_pulled_and_undone_it_waits_again(
    store: Store, district: int, sis: System, vendor: System, decide: Callable[..., Any]
) -> None:
    await sis.says(ADA, BEN, *FILLERS)
    await vendor.says(ADA_THERE, again(BEN))
    case, ids = await the_case(store, district), await denoted(store, district)
    done = await decide(decisions.confirm, case.id, ids["sis", "k-ada"])
    assert (await denoted(store, district))["vendor", "v-ada"] == ids["sis", "k-ada"]
    assert done.published == {"person": {"changed": 1}}, "the vendor's number is known too"
    assert await waiting.queue(store, district) == ([], {})

    await vendor.says(again(ADA_THERE, key="v-ada", number=BEN.number), again(BEN, number=""))
    await vendor.says(again(ADA_THERE, key="v-ada", number="8"), again(BEN), again(ADA, key="v-ada2"))
    assert await waits(store, district) == {("vendor", "v-ada2"): "ambiguous"}, "the newcomer has her very number"
    await vendor.says(again(ADA_THERE, key="v-ada", number="8"), again(BEN))
    await sis.says(BEN, *FILLERS)
    assert (await denoted(store, district))["vendor", "v-ada"] == ids["sis", "k-ada"]
    assert await waits(store, district) == {("vendor", "v-ada"): "unmatched"}, "whom it denotes is gone"
    await sis.says(ADA, BEN, *FILLERS)
    assert await waits(store, district) == {}

    await decide(decisions.undo, done.decision)
    assert ("vendor", "v-ada") not in await denoted(store, district)
    with pytest.raises(Refused, match="was undone"):
        await decide(decisions.undo, done.decision)
    assert [(one["act"], one["undone_by"]) for one in await listed(store, district)] == [
        ("undo", None),
        ("same", done.decision + 1),
    ]


async def test_a_refused_pair_is_proposed_no_more_and_no_rule_links_it(
    store: Store, district: int, sis: System, vendor: System, decide: Callable[..., Any]
) -> None:
    await sis.says(ADA, BEN, *FILLERS)
    await vendor.says(ADA_THERE)
    ada = (await denoted(store, district))["sis", "k-ada"]
    case = await the_case(store, district)
    done = await decide(decisions.refuse, case.id, ada)
    assert not (await the_case(store, district)).candidates
    await vendor.says(again(ADA))
    assert await waits(store, district) == {("vendor", "v-ada"): "unmatched"}, "not by the very number either"
    await decide(decisions.undo, done.decision)
    assert (await denoted(store, district))["vendor", "v-ada"] == ada


async def test_a_child_is_not_confirmed_as_a_teacher(
    store: Store, district: int, sis: System, vendor: System, decide: Callable[..., Any]
) -> None:
    teacher = again(ADA, key="k-teacher", role="teacher", number="T1")
    await sis.says(BEN, teacher, *FILLERS)
    await vendor.says(ADA_THERE)
    case, ids = await the_case(store, district), await denoted(store, district)
    assert not case.candidates
    with pytest.raises(Refused, match="a staff"):
        await decide(decisions.confirm, case.id, ids["sis", "k-teacher"])
    with pytest.raises(Refused, match="reason"):
        await decisions.confirm(store, district, case.id, ids["sis", "k-ben"], Actor("it", "district_it"), " ")
    with pytest.raises(ConfigError):
        await decide(decisions.confirm, case.id, "nobody")


# --- a key that came back as somebody else


@pytest.fixture
async def reused(store: Store, district: int, sis: System, vendor: System) -> dict[tuple[str, str], str]:
    """Ada's key and number are Cleo's now; a vendor knows Ada by her number. Gives whom each key denoted."""
    await sis.says(ADA, BEN, *FILLERS, enrolled=["k-ada", "k-ben"])
    await vendor.says(again(ADA, given="-", family="-", birth=""))
    ids = await denoted(store, district)
    await sis.says(NOW_CLEO, BEN, *FILLERS, enrolled=["k-ada", "k-ben"])
    return ids


NOW_CLEO = again(CLEO, key=ADA.key, number=ADA.number)


async def test_it_is_another_child(
    store: Store, district: int, sis: System, reused: dict[tuple[str, str], str], decide: Callable[..., Any]
) -> None:
    ada = reused["sis", "k-ada"]
    case = await the_case(store, district)
    assert (case.code, case.denotes) == ("identity-conflict", ada)
    await decide(decisions.refuse, case.id, ada)
    assert ada not in await published(store, district)
    await sis.says(NOW_CLEO, BEN, *FILLERS, enrolled=["k-ada", "k-ben"])
    ids, people = await denoted(store, district), await published(store, district)
    cleo = ids["sis", "k-ada"]
    assert cleo != ada and people[cleo]["given_name"] == "Cleo" and ada not in people
    assert await attending(store, district) == {cleo, ids["sis", "k-ben"]}
    assert ("vendor", "v-ada") not in ids, "what the vendor has is not given to the other child"
    assert set(await waits(store, district)) == {("vendor", "v-ada")}


async def test_it_is_the_same_child_whose_data_was_put_right(
    store: Store, district: int, sis: System, reused: dict[tuple[str, str], str], decide: Callable[..., Any]
) -> None:
    ada = reused["sis", "k-ada"]
    done = await decide(decisions.confirm, (await the_case(store, district)).id, ada)
    assert (await published(store, district))[ada]["given_name"] == "Ada", "the next pull brings the rest"
    await sis.says(NOW_CLEO, BEN, *FILLERS, enrolled=["k-ada", "k-ben"])
    assert (await published(store, district))[ada]["given_name"] == "Cleo"
    assert await waiting.queue(store, district) == ([], {})
    with pytest.raises(Refused, match="taken over"):
        await decide(decisions.undo, done.decision)
    await sis.says(again(BEN, key=ADA.key, number="0009"), BEN, *FILLERS, enrolled=["k-ada", "k-ben"])
    assert (await the_case(store, district)).denotes == ada, "confirmed was this one name, not every other"


async def test_it_is_another_child_who_is_known_already(
    store: Store, district: int, sis: System, decide: Callable[..., Any]
) -> None:
    await sis.says(ADA, BEN, CLEO, *FILLERS)
    ids = await denoted(store, district)
    twice = again(CLEO, key=ADA.key)
    await sis.says(twice, BEN, CLEO, *FILLERS)
    case = await the_case(store, district)
    assert {one.person for one in case.candidates} == {ids["sis", "k-ada"], ids["sis", "k-cleo"]}
    await decide(decisions.confirm, case.id, ids["sis", "k-cleo"])
    await sis.says(twice, BEN, CLEO, *FILLERS)
    now = await denoted(store, district)
    assert now["sis", "k-ada"] == now["sis", "k-cleo"] == ids["sis", "k-cleo"]
    assert ids["sis", "k-ada"] not in await published(store, district)


# --- two records are one child, and one is two


async def test_a_merge_moves_every_key_and_what_refers_to_them_and_is_undone_to_the_letter(
    store: Store, district: int, sis: System, vendor: System, decide: Callable[..., Any]
) -> None:
    twice = again(ADA, key="k-a", given="Adah", number="0101")
    await sis.says(ADA, twice, BEN, *FILLERS, enrolled=["k-a", "k-ben"])
    await vendor.says(again(ADA, given=twice.given, number=twice.number))
    before, people = await denoted(store, district), await published(store, district)
    stays, gone = before["sis", "k-ada"], before["sis", "k-a"]
    done = await decide(decisions.merge, gone, stays)
    now = await denoted(store, district)
    assert now == before | {("sis", "k-a"): stays, ("vendor", "v-ada"): stays}
    assert gone not in await published(store, district)
    one = (await published(store, district))[stays]
    assert one["given_name"] == "Ada", "who was there speaks first"
    assert {number["value"] for number in one["identifiers"]} == {"0001", "0101"}
    assert await attending(store, district) == {stays, before["sis", "k-ben"]}
    assert await states(store, district, done.run) == ("decision", "published")

    await sis.says(ADA, again(twice, key="k-a", given="Adahh"), BEN, *FILLERS, enrolled=["k-a", "k-ben"])
    assert await denoted(store, district) == now, "no pull takes it apart"
    await sis.says(ADA, twice, BEN, *FILLERS, enrolled=["k-a", "k-ben"])
    await decide(decisions.undo, done.decision)
    assert await denoted(store, district) == before
    assert await published(store, district) == people
    assert await attending(store, district) == {gone, before["sis", "k-ben"]}


async def test_a_number_of_whoever_was_merged_still_counts_as_known(
    store: Store, district: int, sis: System, vendor: System, decide: Callable[..., Any]
) -> None:
    twice = again(ADA, key="k-ada2", number="0101")
    await sis.says(ADA, twice, BEN, *FILLERS)
    ids = await denoted(store, district)
    await decide(decisions.merge, ids["sis", "k-ada2"], ids["sis", "k-ada"])
    await vendor.says(again(ADA, number="0101"), again(BEN))
    assert (await the_case(store, district)).candidates[0].resemblance.strength == "strong"
    assert (await denoted(store, district))["vendor", "v-ben"] == ids["sis", "k-ben"]
    await vendor.says(again(ADA), again(BEN))
    assert (await denoted(store, district))["vendor", "v-ada"] == ids["sis", "k-ada"], "by the number of who stays"


async def test_one_key_leaves_a_person_and_comes_back(
    store: Store, district: int, sis: System, vendor: System, decide: Callable[..., Any]
) -> None:
    await sis.says(ADA, BEN, *FILLERS, enrolled=["k-ada"])
    await vendor.says(again(ADA, given="Beata"))
    ids = await denoted(store, district)
    ada = ids["sis", "k-ada"]
    keys = {one["connection"]: one["id"] for one in (await decisions.keys_of(store, district, ada))["keys"]}
    done = await decide(decisions.split, ada, keys["vendor"])
    assert ("vendor", "v-ada") not in await denoted(store, district)
    await vendor.says(again(ADA))
    assert await waits(store, district) == {("vendor", "v-ada"): "unmatched"}, "not by the same number again"
    with pytest.raises(Refused, match="only key"):
        await decide(decisions.split, ada, keys["sis"])
    await decide(decisions.undo, done.decision)
    assert await denoted(store, district) == ids


async def test_a_key_of_the_system_of_record_leaves_as_somebody_of_its_own(
    store: Store, district: int, sis: System, vendor: System, decide: Callable[..., Any]
) -> None:
    twice = again(ADA, key="k-ada2", number="0101")
    await sis.says(ADA, twice, BEN, *FILLERS, enrolled=["k-ada2"])
    ids = await denoted(store, district)
    merged = await decide(decisions.merge, ids["sis", "k-ada2"], ids["sis", "k-ada"])
    keys = (await decisions.keys_of(store, district, ids["sis", "k-ada2"]))["keys"]
    assert {one["id"] for one in keys} == {ids["sis", "k-ada"], ids["sis", "k-ada2"]}
    done = await decide(decisions.split, ids["sis", "k-ada"], ids["sis", "k-ada2"])
    now = await denoted(store, district)
    assert now["sis", "k-ada2"] not in ids.values(), "an id that was merged is nobody else's"
    assert await attending(store, district) == {now["sis", "k-ada2"]}
    with pytest.raises(Refused, match="came later"):
        await decide(decisions.undo, merged.decision)
    await decide(decisions.undo, done.decision)
    await decide(decisions.undo, merged.decision)
    assert await denoted(store, district) == ids


async def test_a_merge_that_is_merged_again_is_followed_to_the_end(
    store: Store, district: int, sis: System, decide: Callable[..., Any]
) -> None:
    two, three = again(ADA, key="k-2", number="0102"), again(ADA, key="k-3", number="0103")
    await sis.says(ADA, two, three, *FILLERS)
    ids = await denoted(store, district)
    first = await decide(decisions.merge, ids["sis", "k-3"], ids["sis", "k-2"])
    second = await decide(decisions.merge, ids["sis", "k-2"], ids["sis", "k-ada"])
    assert (await decisions.keys_of(store, district, ids["sis", "k-3"]))["person"] == ids["sis", "k-ada"]
    with pytest.raises(Refused, match="one record already"):
        await decide(decisions.merge, ids["sis", "k-3"], ids["sis", "k-ada"])
    await decide(decisions.undo, second.decision)
    await decide(decisions.undo, first.decision)
    assert await denoted(store, district) == ids


async def test_a_decision_is_not_undone_as_if_it_were_a_pull(
    store: Store, district: int, sis: System, decide: Callable[..., Any]
) -> None:
    await sis.says(ADA, again(ADA, key="k-2", number="0102"), *FILLERS)
    ids = await denoted(store, district)
    done = await decide(decisions.merge, ids["sis", "k-2"], ids["sis", "k-ada"])
    async with store.transaction(district) as c:
        with pytest.raises(ConfigError, match="no run"):
            await history.undoable(c, done.run)


# --- plans


async def test_plans_follow_a_merge_and_two_sets_of_them_need_a_person_to_look(
    store: Store, district: int, sis: System, actor: Actor, decide: Callable[..., Any]
) -> None:
    await sis.says(ADA, again(ADA, key="k-2", number="0102"), *FILLERS)
    ids = await denoted(store, district)
    stays, gone = ids["sis", "k-ada"], ids["sis", "k-2"]
    plan = await planning.begin(store, district, gone, actor)
    done = await decide(decisions.merge, gone, stays)
    assert done.plans == [plan]
    async with store.transaction(district) as c:
        found = await stored.load(c, plan)
        assert (found.student, found.content["student"]) == (stays, stays)
        assert {one["student"] for one in await stored.listed(c)} == {stays}
    said = found.content | {"student": gone, "next_review_on": (date.today() + timedelta(days=30)).isoformat()}
    await planning.edit(store, district, plan, said, actor)
    await decide(decisions.undo, done.decision)
    async with store.transaction(district) as c:
        assert (await stored.load(c, plan)).content["student"] == gone

    await planning.begin(store, district, stays, actor)
    with pytest.raises(Refused, match="Both have success plans"):
        await decide(decisions.merge, gone, stays)
    assert await denoted(store, district) == ids
    await decide(decisions.merge, gone, stays, with_plans=True)


async def test_a_plan_is_not_finalized_while_it_is_open_who_the_student_is(
    store: Store, district: int, sis: System, vendor: System, decide: Callable[..., Any]
) -> None:
    await sis.says(ADA, BEN, *FILLERS)
    await vendor.says(ADA_THERE)
    ids = await denoted(store, district)
    ada, ben = ids["sis", "k-ada"], ids["sis", "k-ben"]
    assert (await open_for(store, district, ada), await open_for(store, district, ben)) == (True, False)
    done = await decide(decisions.refuse, (await the_case(store, district)).id, ada)
    assert not await open_for(store, district, ada)
    await decide(decisions.undo, done.decision)
    await decide(decisions.confirm, (await the_case(store, district)).id, ada)
    assert not await open_for(store, district, ada)
    await sis.says(again(CLEO, key=ADA.key), BEN, *FILLERS)
    assert await open_for(store, district, ada)


async def open_for(store: Store, district: int, person: str) -> bool:
    async with store.transaction(district) as c:
        return await cases.is_open(c, person)


async def acts(store: Store, district: int) -> list[tuple[str, str, str]]:
    async with store.transaction(district) as c:
        rows = await c.execute(
            text("SELECT act, subject, detail->>'because' AS because FROM act WHERE act <> 'connect' ORDER BY seq")
        )
        return [(row.act, row.subject, row.because) for row in rows]


async def listed(store: Store, district: int) -> list[dict[str, Any]]:
    async with store.transaction(district) as c:
        return await decided(c, 20)


async def states(store: Store, district: int, run: int) -> tuple[str, str]:
    async with store.transaction(district) as c:
        row = (await c.execute(text("SELECT kind, state FROM run WHERE id = :run"), {"run": run})).one()
        return row.kind, row.state


# --- the run of a decision belongs to no connection


async def merged(store: Store, district: int, sis: System, decide: Callable[..., Any]) -> tuple[str, int]:
    """Who stays, and the run in which somebody else became them."""
    await sis.says(ADA, again(ADA, key="k-a", given="Adah", number="0101"), BEN, *FILLERS)
    ids = await denoted(store, district)
    done = await decide(decisions.merge, ids["sis", "k-a"], ids["sis", "k-ada"])
    assert done.run is not None
    return ids["sis", "k-ada"], done.run


async def test_what_a_decision_changed_stands_in_the_history_of_whom_it_changed(
    store: Store, district: int, sis: System, decide: Callable[..., Any]
) -> None:
    stays, run = await merged(store, district, sis, decide)
    newest, *_ = await history.changes_of(store, district, "person", stays)
    assert (newest["run"], newest["run_kind"], newest["op"]) == (run, "decision", "changed")


async def test_nothing_is_decided_in_a_blackout_or_while_the_district_rests(
    store: Store, district: int, sis: System, decide: Callable[..., Any], actor: Actor
) -> None:
    await sis.says(ADA, again(ADA, key="k-a", given="Adah", number="0101"), BEN, *FILLERS)
    ids, people = await denoted(store, district), await published(store, district)
    lasting = clock.now() - timedelta(hours=1), clock.now() + timedelta(hours=1)
    for connection in (None, sis.id):
        made = await blackouts.add(store, district, connection, *lasting, "State report.", actor)
        with pytest.raises(Refused) as refusal:
            await decide(decisions.merge, ids["sis", "k-a"], ids["sis", "k-ada"])
        assert refusal.value.code == "blackout"
        await blackouts.end(store, district, made, actor)
    async with store.owner.begin() as c:
        suspend = text("UPDATE district SET suspended_at = now(), suspended_because = 'moved' WHERE id = :d")
        await c.execute(suspend, {"d": district})
    with pytest.raises(Refused) as refusal:
        await decide(decisions.merge, ids["sis", "k-a"], ids["sis", "k-ada"])
    assert refusal.value.code == "district-suspended"
    assert await published(store, district) == people


async def test_nobody_is_to_be_told_of_a_decision_again_and_again(
    store: Store, district: int, sis: System, decide: Callable[..., Any]
) -> None:
    await merged(store, district, sis, decide)
    async with store.transaction(district) as c:
        await c.execute(text("UPDATE run SET told = state WHERE connection_id IS NOT NULL"))
    assert district not in await notices.districts_with_work(store, date.today())


async def test_what_a_decision_replaced_has_its_time_as_what_a_pull_replaced(
    store: Store, settings: Settings, district: int, sis: System, decide: Callable[..., Any]
) -> None:
    stays, run = await merged(store, district, sis, decide)
    kept = text("SELECT count(*) FROM change h JOIN publication p ON p.id = h.publication WHERE p.run_id = :run")
    for days, left in ((399, True), (401, False)):
        async with store.owner.begin() as c:
            await c.execute(
                text("UPDATE publication SET at = now() - make_interval(days => :days) WHERE run_id = :run"),
                {"days": days, "run": run},
            )
        await retention.keep(store, settings)
        async with store.owner.begin() as c:
            assert bool(await c.scalar(kept, {"run": run})) is left
    with pytest.raises(Refused, match="is gone"):
        await history.as_of(store, district, "person", stays, clock.now() - timedelta(days=402))
