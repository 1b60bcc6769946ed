"""No word of a plan reaches a destination, a log, a list or an error of ours unless a preview listed it."""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio
from pydantic import BaseModel, SecretStr
from sqlalchemy import text

from gateway import api, delivery, planning, registry
from gateway.settings import Settings
from gateway.store import clients, deliveries
from gateway.store.clients import SCOPES, Grant
from gateway.store.database import Store
from gateway.summary import PlanProfile
from tests.api.conftest import serving, token
from tests.destinations.planted import BEGIN, END, PRIVATE, Full, Sown, found_in, opened, shown
from tests.destinations.test_every_destination import WORLDS, module
from tests.destinations.world import ACTOR, WORDS
from tests.destinations.world_document_drop import Drop
from tests.destinations.world_oneroster import Gradebook
from tests.destinations.written import placed
from tests.overheard import Overheard


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=WORLDS, ids=[world.name for world in WORLDS])
async def plan(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Full]:
    """A finalized plan with a word in every place for words, and a destination that nothing was sent to."""
    async with placed(request.param, settings, "full") as place:
        student, classes = next(place.students)
        made = Full(place, student, await planning.begin(place.store, place.district, student, ACTOR))
        made.classes = classes
        await made.finalize(WORDS)
        yield made


def everything_said(plan: Full) -> str:
    """All that has left for the destination since it was last forgotten, and what lies there."""
    there = plan.place.there
    if isinstance(there, Drop):
        said = [there.told.requests, *((path.name, opened(path.read_bytes())) for path in there.folder.iterdir())]
        return "\n".join(map(str, said))
    return "\n".join(opened(part) for one in there.wire.seen for part in (one.head, one.body))


async def choose(plan: Full, choices: Mapping[str, Any]) -> BaseModel:
    """What a district chose, with the places in which anything may be written at all; the profile that this makes."""
    place = plan.place
    where = {name: value for name, value in place.world.chosen(plan.classes).items() if isinstance(value, list)}
    async with place.store.transaction(place.district) as c:
        await deliveries.set_profile(c, place.district, place.connection.id, where | choices)
    profile = registry.mapping(place.world.name).profile
    assert profile is not None
    return profile.model_validate(where | choices)


def leaves(world: str, sown: Sown, chosen: Mapping[str, Any]) -> set[str]:
    """The words that these choices let leave for a kind of destination."""
    if world == "edfi":
        # of the needs that a support in school answers
        return {"needacademic", "needphysicalhealth"} if chosen["include_need_statements"] else set()
    if world != "oneroster":
        return sown.leaves(chosen)
    plain = sown.leaves({**chosen, "include_interests": False})
    return {word for word in plain if sown.told[word] and word != "supportforhealthalone"}


@module
async def test_by_default_no_word_leaves_but_those_that_a_preview_lists(plan: Full) -> None:
    """Everything that a request consists of, taken apart; nothing else of ours has one either."""
    place = plan.place
    profile = await choose(plan, {})
    counted = place.there.totals() if isinstance(place.there, Gradebook) else {}
    with heard() as lines:
        place.there.wire.forget()
        made = await delivery.preview(place.store, place.district, plan.id, "there")
        await delivery.seen_by(place.store, place.district, "there", made)
        assert found_in(everything_said(plan)) == set(), "a preview asks about people, and tells nobody anything"
        sent = await plan.push()
        assert sent["state"] == "delivered", sent["reason"]
        await delivery.read_back(place.store, place.district, plan.id, "there")
        listed = found_in(shown(made.documents))
        assert found_in(everything_said(plan)) - listed == set()
        assert listed == leaves(place.world.name, plan.sown, profile.model_dump())
        assert found_in(" ".join(place.there.standing().values())) - listed == set()
        assert not any("health" in word or "family" in word or word.startswith("need") for word in listed)
    assert found_in("\n".join(lines)) == set()
    assert found_in(str(sent)) == set() == found_in(str(made.losses))
    if isinstance(place.there, Gradebook):
        assert place.there.totals() == counted and counted, "no total is moved"


def switches(world: str) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Each that a profile has, one by one the other way round; then all, and none. And whether it is sent, too: what
    several destinations have in common is at one of them, since what is sent is what a preview lists."""
    profile = registry.mapping(world).profile
    assert profile is not None
    base = {"doorway": False} if "doorway" in profile.model_fields else {}
    known = {name: one.default for name, one in profile.model_fields.items() if isinstance(one.default, bool)}
    common = set() if world == "moodle" else PlanProfile.model_fields.keys()
    yield True, base
    yield from (
        (name not in common, {**base, name: not default}) for name, default in known.items() if name != "doorway"
    )
    yield from ((True, {**dict.fromkeys(known, on), **base}) for on in (True, False))
    yield True, {"doorway": True} if base else {}


@module
async def test_each_choice_lets_leave_what_it_names_and_nothing_else(plan: Full) -> None:
    """With a consent of the family for all of it: what then decides is what the district chose."""
    place, world = plan.place, plan.place.world.name
    await plan.consented("destination:there")
    seen = set()
    for sends, choices in switches(world):
        profile = (await choose(plan, choices)).model_dump()
        expected = leaves(world, plan.sown, profile)
        made = await delivery.preview(
            place.store, place.district, plan.id, "there", doorway=bool(choices.get("doorway"))
        )
        assert found_in(str([(one.key, one.body) for one in made.documents])) == expected, choices
        if not sends:
            continue
        place.there.wire.forget()
        number, _ = await delivery.request(
            place.store, place.district, plan.id, "there", ACTOR, doorway=bool(choices.get("doorway"))
        )
        sent = await plan.send(number)
        if "[audience-refused]" in (sent["reason"] or ""):
            # The student is a child, and reads nothing of feelings, health or the family there.
            assert private(choices) and found_in(everything_said(plan)) == set(), choices
            continue
        assert sent["state"] == "delivered", (choices, sent["reason"])
        assert found_in(everything_said(plan)) - expected == set(), choices
        words = found_in(" ".join(place.there.standing().values()))
        assert words == expected, choices
        seen |= words
    assert len(seen) > 1, "and they would be seen"


def private(choices: Mapping[str, Any]) -> bool:
    return any(choices.get(one) for one in PRIVATE.values())


@module
async def test_a_destination_that_says_all_back_in_its_refusal_has_us_repeat_nothing(
    plan: Full, settings: Settings
) -> None:
    """In every place for words of its answer stands what it was sent."""
    place, district = plan.place, plan.place.district
    if not isinstance(place.there, Drop):
        profile = registry.mapping(place.world.name).profile
        assert profile is not None
        known = [name for name, one in profile.model_fields.items() if isinstance(one.default, bool)]
        await choose(plan, {name: name not in ("doorway", *PRIVATE.values()) for name in known})
        wire = place.there.wire
        wire.forget()
        wire.echoes, wire.status = BEGIN, 200 if place.world.name == "moodle" else 400
        with heard() as lines:
            try:
                sent = await plan.push()
            finally:
                wire.echoes = ""
        assert sent["state"] == "parked", sent
        assert found_in(everything_said(plan)), "something was asked of it"
        assert found_in("\n".join(lines)) == set()
        assert found_in(str(sent)) == set()
    # And nothing of all that was done here stands anywhere but in the plan itself.
    assert await holding(place.store) <= PLANS
    sent_back = await answers(place.store, settings, district, plan)
    assert {name: found_in(said) for name, said in sent_back.items() if found_in(said)} == {}


PLANS = {"consent", "plan", "plan_event", "plan_version"}
"""Where the words of a plan are kept, and those of a consent."""


AS_BYTES = f"{BEGIN.encode().hex()}(6[1-9a-f]|7[0-9a])*{END.encode().hex()}"
"""A word as bytes are written: three letters alone stand in a sealed key now and then, too."""


async def holding(store: Store) -> set[str]:
    """The tables in which a planted word stands, as text or as bytes."""
    found = set()
    async with store.owner.begin() as c:
        names = list((await c.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))).scalars())
        for name in names:
            looked = f"CAST(t AS text) ~ '{BEGIN}[a-z]*{END}' OR CAST(t AS text) ~ '{AS_BYTES}'"
            if (await c.execute(text(f'SELECT 1 FROM "{name}" t WHERE {looked} LIMIT 1'))).scalar():
                found.add(name)
    return found


async def answers(store: Store, settings: Settings, district: int, plan: Full) -> dict[str, str]:
    """What the API tells of deliveries to a program that may ask for them and for no section, and the metrics."""
    told = settings.model_copy(update={"metrics_token": SecretStr("scrape-me")})
    client, _ = await clients.add(store, district, "planner", SCOPES, ACTOR, Grant("sis", sections=["identity"]))
    bearer = await token(store, district, client)
    asked = {}
    async with serving(api.create_app(store, told)) as http:
        listed = await http.get("/v1/deliveries", headers=bearer)
        assert listed.status_code == 200 and listed.json()
        asked["/v1/deliveries"] = listed.text
        for one in await _numbers(store, district):
            found = await http.get(f"/v1/deliveries/{one}", headers=bearer)
            assert found.status_code == 200, found.text
            asked[f"/v1/deliveries/{one}"] = found.text
        preview = f"/v1/plans/{plan.id}/deliveries/preview?destination=there"
        found = await http.get(preview, headers=bearer)
        assert found.status_code == 200, found.text
        asked[preview] = found.text
        metrics = await http.get("/metrics", headers={"Authorization": "Bearer scrape-me"})
        assert metrics.status_code == 200
        asked["/metrics"] = metrics.text
    return asked


async def _numbers(store: Store, district: int) -> list[int]:
    async with store.transaction(district) as c:
        return list((await c.execute(text("SELECT id FROM delivery ORDER BY id DESC LIMIT 3"))).scalars())


@contextmanager
def heard() -> Iterator[list[str]]:
    """Every line that we, and what speaks HTTP for us, would write where everything is logged."""
    ours = Overheard()
    levels = {name: logging.getLogger(name).level for name in ("gateway", "connectors", "mappings", "httpx")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger().addHandler(ours)
    try:
        yield ours.lines
    finally:
        logging.getLogger().removeHandler(ours)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
