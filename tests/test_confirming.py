"""What a person was shown is what is published: neither anything else, nor at another time."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway import clock, jobs
from gateway.errors import Refused
from gateway.store import blackouts, registers, runs, years
from gateway.store.database import Store
from gateway.store.registers import Actor
from gateway.year import Change
from tests.identity.rosters import FILLERS, Person, System, connected, published, write


@pytest.fixture
async def sis(store: Store, district: int, actor: Actor, tmp_path: Path) -> System:
    made = await connected(store, district, "sis", tmp_path, actor)
    await made.says(*FILLERS)
    return made


@pytest.fixture
async def change(sis: System) -> Change:
    today = clock.today()
    return await years.announce(
        sis.store, sis.district, today, today + timedelta(days=60), "It ends.", sis.actor, today
    )


def named(family: str) -> list[Person]:
    return [replace(one, family=family) for one in FILLERS]


async def ended(sis: System, run: int) -> dict[str, Any]:
    await jobs.run_job(sis.store, sis.district, run)
    async with sis.store.transaction(sis.district) as c:
        [found] = await runs.summary(c, run=run)
    return found


async def previewed(sis: System, change: Change, run: int) -> years.Seen:
    async with sis.store.transaction(sis.district) as c:
        seen = await years.shown(c, run)
        assert seen is not None
        await years.see(c, change, {sis.id: seen})
    return seen


async def test_the_same_records_with_other_contents_are_not_what_was_confirmed(sis: System, change: Change) -> None:
    write(sis.folder, named("Promoted"))
    dry = await jobs.request_pull(sis.store, sis.district, sis.id, sis.actor, mode="dry")
    assert (await ended(sis, dry))["counts"]["would_hold"]
    seen = await previewed(sis, change, dry)

    write(sis.folder, named("Garbled"))
    connection = await registers.connection(sis.store, sis.district, sis.id)
    run = await jobs.confirm_year(sis.store, connection, change, seen, sis.actor, "It was looked at.")
    assert (await ended(sis, run))["state"] == "held"
    assert {doc["family_name"] for doc in (await published(sis.store, sis.district)).values()} == {"Umberfield"}


async def test_what_may_not_be_published_yet_is_not_confirmed_either(sis: System, change: Change) -> None:
    held = await sis.says(*named("Promoted"))
    assert held["state"] == "held"
    seen = await previewed(sis, change, held["id"])
    connection, now = await registers.connection(sis.store, sis.district, sis.id), clock.now()
    blackout = await blackouts.add(
        sis.store, sis.district, None, now - timedelta(hours=1), now + timedelta(hours=1), "Report.", sis.actor
    )
    with pytest.raises(Refused, match="Nothing may be published"):
        await jobs.confirm_year(sis.store, connection, change, seen, sis.actor, "It was looked at.")
    async with sis.store.transaction(sis.district) as c:
        [shown] = await years.listed(c)
        assert shown["confirmed"] == []

    await blackouts.end(sis.store, sis.district, blackout, sis.actor)
    run = await jobs.confirm_year(sis.store, connection, change, seen, sis.actor, "It was looked at.")
    assert run == held["id"] and (await ended(sis, run))["state"] == "published"
