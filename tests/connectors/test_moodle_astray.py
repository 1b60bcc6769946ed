"""A Moodle in which a plan ends where it must not be: lost answers, people who change it there, many plans at once."""

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.moodle.people import MOST, Accounts
from connectors.moodle.sink import MoodleSink
from connectors.moodle.twin import SERVICE, Site
from connectors.moodle.twin_site import COMPLETE, DRAFT, MANAGER, Token, User
from gateway.connector import Document, Expecting
from gateway.errors import AuthError, ConfigError, Unavailable
from gateway.sameness import holds
from tests.connectors.moodle import (
    COUNSELOR,
    OTHER,
    STUDENT,
    TEACHER,
    Ledger,
    a_moodle,
    a_plan,
    documents,
    of,
    opened,
    parties,
)

CREATE, UPDATE = "core_competency_create_plan", "core_competency_update_plan"


@pytest.fixture
def made() -> Iterator[tuple[Any, Site, str]]:
    with a_moodle() as (app, site, url):
        yield app.state, site, url


async def test_what_is_made_anew_and_never_answered_is_taken_back_too(made: tuple[Any, Site, str]) -> None:
    """Somebody deleted the plan there; what took its place has a number that nobody heard."""
    state, site, url = made
    ledger, sent = Ledger(), documents(a_plan())[0]
    async with opened(url) as sink:
        await ledger.send(sink, sent)
    site.plans.clear()
    state.faults.lose, state.faults.lose_answers = CREATE, 1
    async with opened(url) as sink:
        with pytest.raises(Unavailable):
            await ledger.send(sink, sent)
        assert len(site.plans) == 1
    async with opened(url) as sink:
        assert all(one.delivered for one in await ledger.take_back(sink))
    assert site.plans == {}


async def test_what_was_adopted_and_never_answered_is_taken_back_too(made: tuple[Any, Site, str]) -> None:
    state, site, url = made
    sent = documents(a_plan())[0][:1]
    async with opened(url) as sink:
        await Ledger().send(sink, sent)
    ledger = Ledger()
    state.faults.lose, state.faults.lose_answers = UPDATE, 2
    async with opened(url) as sink:
        with pytest.raises(Unavailable):
            await ledger.send(sink, sent)
    state.faults.lose_answers = 0
    async with opened(url) as sink:
        assert [one.status for one in await ledger.take_back(sink)] == [200]
    assert site.plans == {}


async def test_a_doorway_takes_the_day_of_the_review_away(made: tuple[Any, Site, str]) -> None:
    _, site, url = made
    ledger = Ledger()
    async with opened(url) as sink:
        await ledger.send(sink, documents(a_plan())[0][:1])
        assert next(iter(site.plans.values()))["duedate"]
        door = documents(a_plan(), doorway=True)[0][:1]
        [receipt] = await ledger.send(sink, door)
        assert receipt.delivered and next(iter(site.plans.values()))["duedate"] == 0
        site.edit(next(iter(site.plans)), duedate=4102444800)
        read = await sink.read_back(door[0])
    assert read is not None and not holds(read, door[0].body), "a day that somebody gave it is told"


@pytest.mark.parametrize("now", [{"status": COMPLETE}, {"status": DRAFT}, {"duedate": 4102444800}])
async def test_a_status_or_a_day_that_somebody_gave_it_is_an_edit(made: tuple[Any, Site, str], now: Any) -> None:
    """Completed, put back to a draft that its student does not see, or another day: the next version would undo it."""
    _, site, url = made
    ledger, sent = Ledger(), documents(a_plan())[0][:1]
    async with opened(url) as sink:
        await ledger.send(sink, sent)
        revision = ledger.revisions[sent[0].name]
        site.edit(next(iter(site.plans)), **now)
        assert await sink.edited(sent[0], revision)
        read = await sink.read_back(sent[0])
        assert read is not None and not holds(read, sent[0].body)
        assert [one.revision for one in await ledger.send(sink, sent)] == [revision]
        assert not await sink.edited(sent[0], revision) and await sink.read_back(sent[0]) == sent[0].body


async def test_a_plan_that_we_completed_was_edited_by_nobody(made: tuple[Any, Site, str]) -> None:
    _, _, url = made
    ledger, sent = Ledger(), documents(a_plan(), parties(closed=True))[0]
    async with opened(url) as sink:
        await ledger.send(sink, sent)
        assert not await sink.edited(sent[0], ledger.revisions[sent[0].name])


async def test_what_may_not_be_read_is_not_lost(made: tuple[Any, Site, str]) -> None:
    """A right that somebody took from the service account is no thousand plans that are gone."""
    _, site, url = made
    ledger, sent = Ledger(), documents(a_plan(), include_domains=True, include_consultation=True)[0]
    async with opened(url) as sink:
        await ledger.send(sink, sent)
    site.users[SERVICE].capabilities = MANAGER - {"planview", "planmanage"}
    async with opened(url) as sink:
        for document in sent:
            sink.know(document, ledger.ids[document.name])
            if document.resource in ("learningPlans", "planCompetencies"):
                with pytest.raises(ConfigError) as refused:
                    await sink.read_back(document)
                assert refused.value.code == "moodle-refused"
        with pytest.raises(ConfigError):
            await sink.edited(sent[0], "a revision")


async def test_accounts_of_many_plans_are_one_question(made: tuple[Any, Site, str]) -> None:
    state, site, url = made
    several = [one for student in (STUDENT, OTHER) for one in documents(a_plan(), parties(student=student))[0]]
    async with opened(url) as sink:
        assert isinstance(sink, Expecting)
        await sink.expect(several)
        for one in several:
            await sink.audience(one)
        assert [name for name, _ in state.received] == ["core_user_get_users_by_field"]
        assert all(one.delivered for one in await Ledger().send(sink, several[:3]))
    assert len(state.received) == 1 + 4, "its student's plans, the plan, two roles"
    state.received.clear()
    numbers = [f"n-{n}" for n in range(MOST + 1)]
    for n, number in enumerate(numbers):
        site.add(User(2000 + n, f"u{n}", "U", str(n), number))
    async with opened(url) as sink:
        await sink.expect([Document("learningPlans", {"plan": one}, {"student": one}) for one in numbers])
        assert (await sink.audience(Document("learningPlans", {}, {"student": numbers[-1]})))[0].name
    assert len(state.received) == 2, "PHP reads no more than a thousand fields of one form"


async def test_an_account_is_looked_up_again_after_a_while(made: tuple[Any, Site, str]) -> None:
    """One sink may be at work for hours: whoever is suspended meanwhile is."""
    _, site, url = made
    now = [0.0]
    async with opened(url) as sink:
        sink._accounts = accounts = Accounts(sink._moodle, clock=lambda: now[0])
        assert not hasattr(await accounts.one(STUDENT, "the student"), "status")
        site.users[of(site, STUDENT)].suspended = True
        assert not hasattr(await accounts.one(STUDENT, "the student"), "status")
        now[0] = 3600.0
        assert hasattr(await accounts.one(STUDENT, "the student"), "status")


async def test_a_function_that_the_service_lacks_does_not_stop_everything(made: tuple[Any, Site, str]) -> None:
    """Moodle says the same to that and to a token that has ended; a live token can still say who it is."""
    _, site, url = made
    lacks = frozenset({"core_webservice_get_site_info", "core_user_get_users_by_field"})
    site.tokens["demo-token"].functions = lacks
    async with opened(url) as sink:
        with pytest.raises(ConfigError) as missing:
            await sink.push(documents(a_plan())[0][0])
    assert missing.value.code == "moodle-function-missing" and "core_competency_list_user_plans" in str(missing.value)
    site.tokens["demo-token"] = Token(SERVICE, until=1.0)
    async with opened(url) as sink:
        with pytest.raises(AuthError) as ended:
            await sink.push(documents(a_plan())[0][0])
    assert ended.value.code in ("moodle-token-refused", "moodle-access-refused")


async def test_ten_plans_side_by_side_stay_apart(made: tuple[Any, Site, str]) -> None:
    """One sink, ten students, answers in any order: every id is that of its own student's plan."""
    _, site, url = made
    numbers = [f"side-{n}" for n in range(10)]
    for n, number in enumerate(numbers):
        site.add(User(3000 + n, f"s{n}", "S", str(n), number))
    ledger = Ledger()
    random.seed(8)
    async with opened(url) as sink:
        _jumbled(sink)

        async def announce(document: Document, remote_id: str) -> None:
            ledger.ids[document.name] = remote_id

        sink.announcing(announce)

        async def one(n: int, word: str) -> None:
            people = parties(student=numbers[n], plan=f"{n:08d}-6f0e-4f7e-9d7a-0a5a3c6f1e11")
            said = a_plan(strengths=[{"statement": f"{word} of {numbers[n]}."}])
            for document in documents(said, people, include_consultation=True, include_domains=True)[0]:
                if document.create_only and n:
                    continue  # the core gives those that are shared their turn
                sink.know(document, ledger.ids.get(document.name, ""))
                receipt = await sink.push(document)
                assert receipt.delivered, receipt
                ledger.ids[document.name] = receipt.remote_id

        await one(0, "First")
        await asyncio.gather(*(one(n, "First") for n in range(1, 10)))
        sink._accounts = Accounts(sink._moodle)  # everybody waits for the first answer
        await asyncio.gather(*(one(n, "Word") for n in range(10)))
    assert len(site.plans) == 10 and len(site.comments) == 10 and len(site.in_plans) == 10
    for n, number in enumerate(numbers):
        name = Document("learningPlans", {"plan": f"{n:08d}-6f0e-4f7e-9d7a-0a5a3c6f1e11"}, {}).name
        user, plan = map(int, ledger.ids[name].split("/"))
        assert user == of(site, number) == site.plans[plan]["userid"]
        assert f"Word of {number}." in site.plans[plan]["description"]
        assert {member for _, member, whose in site.assignments if whose == user} == {
            of(site, TEACHER),
            of(site, COUNSELOR),
        }


def _jumbled(sink: MoodleSink) -> None:
    """Answers come in another order than they were asked for."""
    send = sink._moodle._http.send

    async def later(*args: Any, **more: Any) -> Any:
        reply = await send(*args, **more)
        for _ in range(random.randrange(30)):
            await asyncio.sleep(0)
        return reply

    sink._moodle._http.send = later  # type: ignore[method-assign]
