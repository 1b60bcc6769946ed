"""A new year's connection takes the old one's place on its day, and neither before it nor while nothing may happen."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway import clock, jobs
from gateway.errors import Refused
from gateway.store import blackouts, deliveries, history, registers, rollouts, runs, successions
from gateway.store.database import Store
from gateway.store.registers import Actor, Connection
from tests.identity.rosters import CONNECT, FILLERS, Person, System, connected, denoted, write


@pytest.fixture
async def old(store: Store, district: int, actor: Actor, tmp_path: Path) -> System:
    made = await connected(store, district, "sis", tmp_path, actor)
    await made.says(*FILLERS)
    return made


@pytest.fixture
async def new(old: System, tmp_path: Path) -> System:
    settings = {"path": str(tmp_path / "next")} | CONNECT
    there = await registers.connection(old.store, old.district, old.id)
    id = await successions.clone(old.store, there, "next", settings, {}, date(2099, 8, 2), old.actor)
    return System(old.store, old.district, "next", tmp_path / "next", id, old.actor)


async def connection(system: System) -> Connection:
    return await registers.connection(system.store, system.district, system.id)


async def has(system: System, people: Sequence[Person] = FILLERS) -> None:
    write(system.folder, people)


async def ended(system: System, run: int) -> dict[str, Any]:
    await jobs.run_job(system.store, system.district, run)
    async with system.store.transaction(system.district) as c:
        [found] = await runs.summary(c, run=run)
    return found


async def systems(old: System) -> set[str]:
    """Whose keys denote people."""
    return {name for name, _ in await denoted(old.store, old.district)}


async def test_a_run_under_way_does_not_take_over_after_it_was_put_off(old: System, new: System) -> None:
    await has(new)
    run = await jobs.switch(new.store, await connection(new), new.actor)
    assert run is not None
    async with new.store.transaction(new.district) as c:
        await successions.postpone(c, await connection(new), date(2099, 9, 1), new.actor)
    found = await ended(new, run)
    assert (found["state"], found["error_code"]) == ("failed", "switch-postponed")
    assert await systems(old) == {"sis"}
    assert (await old.says(*FILLERS))["state"] == "published"


async def test_in_a_blackout_of_the_old_one_nothing_takes_its_place(old: System, new: System) -> None:
    await has(new)
    now = clock.now()
    await blackouts.add(
        old.store, old.district, old.id, now - timedelta(hours=1), now + timedelta(hours=1), "Report.", old.actor
    )
    with pytest.raises(Refused, match="Nothing may be published"):
        await jobs.switch(new.store, await connection(new), new.actor)
    assert await systems(old) == {"sis"} and (await connection(new)).shadow


async def test_while_the_old_one_rests_after_an_undo_its_day_waits(old: System, new: System) -> None:
    async def due() -> bool:
        return (old.district, new.id) in await successions.due(old.store, clock.now() + timedelta(days=365 * 200))

    assert await due()
    await old.says(*FILLERS[:-1])
    run = await jobs.request_undo(old.store, old.district, old.runs[-1], old.actor, "A mistake.")
    await ended(old, run)
    assert not await due()
    await registers.resume(old.store, old.district, old.id, old.actor)
    assert await due()


async def test_what_is_undone_is_undone_in_shadow_too(old: System) -> None:
    await old.says(*FILLERS[:-1])
    await registers.set_shadow(old.store, old.district, old.id, True, old.actor)
    run = await jobs.request_undo(old.store, old.district, old.runs[-1], old.actor, "A mistake.")
    assert (await ended(old, run))["state"] == "published"
    assert len(await denoted(old.store, old.district)) == len(FILLERS)
    assert (await connection(old)).paused_because
    assert await history.compensations(old.store, old.district, run) == []


async def test_what_may_leave_is_chosen_for_the_successor_too(old: System, tmp_path: Path) -> None:
    there, profile = await connection(old), {"include_goals": False}
    async with old.store.transaction(old.district) as c:
        await deliveries.set_profile(c, old.district, old.id, profile)
        await rollouts.put(c, there, "shadow", [], old.actor)
    made = await successions.clone(
        old.store, there, "next", {"path": str(tmp_path)} | CONNECT, {}, date(2099, 8, 2), old.actor
    )
    async with old.store.transaction(old.district) as c:
        assert await deliveries.profile(c, made) == profile
        assert (await rollouts.of(c, made)).stage == "shadow"
