"""At each platform that people look into: who finds a word of a plan, and that nobody else does."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.settings import Settings
from gateway.store import registers, standing
from gateway.store.database import Store
from tests.destinations.cast import (
    AIDES,
    ANOTHERS,
    CHILD,
    CLASSMATE,
    COLLEAGUE,
    FATHER,
    LEFT,
    MOTHER,
    TUTOR,
    Canvas,
    Lti,
    Moodle,
    Stage,
)
from tests.destinations.test_every_destination import module
from tests.destinations.world import ACTOR
from tests.store.school import GONE, School

STRANGERS = (CLASSMATE, ANOTHERS, COLLEAGUE, AIDES)
WORDS = {"strength", "goal", "support"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    store = await Store.open(settings)
    district = await registers.district(store, "eyes")
    folder: Path = tmp_path_factory.mktemp("eyes") / "sis"
    made = Stage(store, district, School(folder, store=store, district=district, actor=ACTOR))
    await made.begin()
    yield made
    await store.close()


@module
@pytest.mark.parametrize("kind", [Moodle, Canvas, Lti], ids=lambda kind: kind.name)
async def test_nobody_finds_a_word_who_may_not(stage: Stage, kind: type[Any]) -> None:
    with stage.served(kind) as there:
        connection = await stage.connect(there)
        before = there.total()
        everybody = {CHILD, MOTHER, FATHER, TUTOR, LEFT, *STRANGERS}

        # While somebody teaches or helps in the class who is not on the team, nothing is sent but a doorway.
        for one in (COLLEAGUE, AIDES) if there.teaching else ():
            there.seat(one)
            parked = await stage.push(there.name)
            assert parked["state"] == "parked" and "[audience-refused]" in parked["reason"], (one, parked)
            assert {who for who in everybody if there.sees(who)} == set()
            assert (await stage.push(there.name, doorway=True))["state"] == "delivered"
            assert {who for who in everybody if there.sees(who)} == set()
            there.leave(one)
        if there.teaching:  # on the team until today
            there.seat(LEFT)
        sent = await stage.push(there.name)
        assert sent["state"] == "delivered", sent["reason"]
        for who in everybody:
            assert there.sees(who) == (set() if who in STRANGERS else WORDS), who
        assert there.total() == before

        # The counselor's last day on the team was yesterday. No new version is pushed.
        await stage.take_off_the_team("cou-2")
        await stage.half_an_hour_later(connection)
        assert there.sees(LEFT) == set(), "taken back, or their role there"
        if there.teaching:
            there.leave(LEFT)
        sent = await stage.push(there.name)
        assert sent["state"] == "delivered", sent["reason"]
        assert {who for who in everybody if there.sees(who)} == {CHILD, MOTHER, FATHER, TUTOR}

        # A parent is kept from the child: what they would see is taken back within the hour, and not sent again.
        await standing.restrict(
            stage.store, stage.district, stage.ids[GONE], stage.ids["par-ignatz"], "court order 7", ACTOR
        )
        try:
            await stage.half_an_hour_later(connection)
            assert {who for who in everybody if there.sees(who)} == set()
            parked = await stage.push(there.name)
            assert parked["state"] == "parked" and "kept from the student" in parked["reason"]
            assert {who for who in everybody if there.sees(who)} == set() and there.total() == before
        finally:
            await standing.lift(
                stage.store, stage.district, stage.ids[GONE], stage.ids["par-ignatz"], "a mistake", ACTOR
            )
            await stage.finalize()
