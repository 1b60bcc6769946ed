"""What is served follows what is published: nothing is missed, nothing is left behind, every record is valid."""

import json
import random
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import text

from gateway import projections
from gateway.served import COLLECTIONS
from gateway.store import registers, served
from gateway.store.database import Store
from tests.mappings.oneroster_records import SCHEMAS, definitions, models
from tests.store.served_town import Roster, Town


@pytest.fixture
def town(store: Store, district: int) -> Town:
    return Town(store, district)


async def follow(town: Town) -> projections.Projected:
    return await projections.follow(town.store, town.district)


async def anew(town: Town) -> dict[str, int]:
    """What differs when everything is looked at anew."""
    async with town.store.transaction(town.district) as c:
        await served.ask_again(c, town.district)
    return (await follow(town)).rows


@pytest.mark.parametrize("seed", range(4))
async def test_changes_come_to_what_everything_anew_comes_to(town: Town, seed: int) -> None:
    dice = random.Random(seed)
    roster = Roster(dice)
    kept: dict[str, dict[str, Any]] = {name: {} for name in COLLECTIONS}
    for step in range(12):
        await town.publish(roster.changes(town.there, 60 if step == 0 else dice.choice([1, 2, 8])))
        if dice.random() < 0.3:
            continue
        done = await follow(town)
        now = await town.rows()
        for name, rows in now.items():
            changed = {id for id, row in rows.items() if kept[name].get(id) is None or kept[name][id] != row}
            if any(kept.values()):
                assert {rows[id].at for id in changed} <= {done.at}
            assert len(changed) == done.rows.get(name, 0)
            assert not kept[name].keys() - rows.keys()
        kept = now
        valid(now)
    await follow(town)
    assert await anew(town) == {}
    twin = Town(town.store, await registers.district(town.store, f"twin-of-{town.district}"))
    await twin.publish(town.there)
    await follow(twin)
    assert living(await twin.rows()) == living(await town.rows())
    assert await twin.gaps() == await town.gaps()


def living(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """All but the times, which are not the same."""
    return {name: {id: tuple(row)[3:] for id, row in found.items() if not row.gone} for name, found in rows.items()}


def valid(rows: dict[str, dict[str, Any]]) -> None:
    """Each record is one of the standard, and leads only to what is served."""
    for name, found in rows.items():
        for row in found.values():
            record = json.loads(row.doc)
            if row.gone:
                assert record.keys() <= {"sourcedId", "metadata"}
                continue
            for link in links(record):
                _, service, version, collection, id = link["href"].split("/")
                assert (service, version) == (COLLECTIONS[collection].service, "v1p2")
                assert id == link["sourcedId"] and not rows[collection][id].gone
            if SCHEMAS.exists():
                errors = schema(name).iter_errors(
                    record | {"status": "active", "dateLastModified": "2026-01-01T00:00:00.000Z"}
                )
                assert [error.message for error in errors] == []


def schema(name: str) -> Draft202012Validator:
    service, model = models()[name]
    return Draft202012Validator({"$ref": f"#/$defs/{model}", "$defs": definitions(service)})


def links(record: Any) -> list[dict[str, Any]]:
    if isinstance(record, list):
        return [link for one in record for link in links(one)]
    if isinstance(record, dict):
        return [record] if "href" in record else links(list(record.values()))
    return []
