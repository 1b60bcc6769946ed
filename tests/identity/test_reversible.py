"""Whatever people decide, in whatever order: undone the latest first, everything is again as it was."""

from random import Random
from typing import Any

import pytest

from gateway import decisions, jobs, waiting
from gateway.errors import ConfigError, Refused
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.identity.rosters import ADA, BEN, CLEO, FILLERS, System, again, attending, denoted, published

BECAUSE = "Somebody said so."
CHILDREN = (ADA, BEN, CLEO, *(again(ADA, key=f"k-{n}", given=f"Ada{n}", number=f"01{n:02}") for n in range(4)))
ENROLLED = [one.key for one in CHILDREN]


@pytest.mark.parametrize("seed", range(2))
async def test_decisions_by_chance_are_undone_to_the_letter(
    store: Store, district: int, sis: System, vendor: System, actor: Actor, seed: int
) -> None:
    rng = Random(seed)
    await sis.says(*CHILDREN, *FILLERS, enrolled=ENROLLED)
    await vendor.says(again(ADA, number="1"), again(BEN), again(CLEO, given="Clea", number="3"))
    before = await everything(store, district)
    taken: list[int] = []
    while len(taken) < 5:
        try:
            taken.append((await by_chance(store, district, actor, rng)).decision)
        except (Refused, ConfigError):
            continue
        if rng.random() < 0.3:
            await sis.says(*CHILDREN, *FILLERS, enrolled=ENROLLED)
    assert await everything(store, district) != before
    for number in reversed(taken):
        await decisions.undo(store, district, number, actor, BECAUSE)
    assert await everything(store, district) == before


async def by_chance(store: Store, district: int, actor: Actor, rng: Random) -> decisions.Outcome:
    people = sorted(await published(store, district))
    one, other = rng.sample(people, 2)
    cases, _ = await waiting.queue(store, district)
    match rng.choice(("merge", "merge", "split", "same", "different")):
        case "merge":
            return await decisions.merge(store, district, one, other, actor, BECAUSE)
        case "split":
            many = [id for id in people if len((await decisions.keys_of(store, district, id))["keys"]) > 1]
            who = rng.choice(many or [one])
            key = rng.choice((await decisions.keys_of(store, district, who))["keys"])["id"]
            return await decisions.split(store, district, who, key, actor, BECAUSE)
        case act if cases:
            decide = decisions.confirm if act == "same" else decisions.refuse
            return await decide(store, district, rng.choice(cases).id, one, actor, BECAUSE)
    raise Refused("nobody-waits", "Nobody waits.")


async def everything(store: Store, district: int) -> Any:
    cases, causes = await waiting.queue(store, district)
    shown = sorted((one.id, one.code, sorted(who.person for who in one.candidates)) for one in cases)
    links, people = await denoted(store, district), await published(store, district)
    return links, people, await attending(store, district), shown, causes


async def test_an_undone_pull_takes_nothing_back_that_a_person_decided(
    store: Store, district: int, sis: System, vendor: System, actor: Actor
) -> None:
    await sis.says(*CHILDREN, *FILLERS, enrolled=ENROLLED)
    run = await vendor.says(again(ADA, number="1", email="ada@students.example.org"))
    ids = await denoted(store, district)
    ada, other = ids["sis", "k-ada"], ids["sis", "k-0"]
    [case], _ = await waiting.queue(store, district)
    await decisions.confirm(store, district, case.id, ada, actor, BECAUSE)
    await decisions.merge(store, district, other, ada, actor, BECAUSE)
    for system, number in ((vendor, run["id"]), (sis, sis.runs[0])):
        undo = await jobs.request_undo(store, district, number, actor, BECAUSE)
        await jobs.run_job(store, district, undo)
        assert not [who for who in (await published(store, district)).values() if "email" in who], system.name
    now = await denoted(store, district)
    assert now == {("sis", "k-0"): ada, ("vendor", "v-ada"): ada}
    assert await published(store, district) == {}
