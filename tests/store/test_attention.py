"""What of plans waits for a person, from real pulls: who left, who moved, whose rights ended; told and mended."""

import json
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway import clock, continuity, delivery, planning
from gateway.errors import Refused
from gateway.schema.plan import Plan, canonical, sha256
from gateway.store import attention, outbox
from gateway.store import plans as stored
from gateway.store.database import Store
from gateway.store.plans import StoredVersion
from gateway.store.registers import Actor
from tests.store.school import NUMBER, SHARED_PARENT, School, user

COUNSELOR = Actor("Ottoline Farrow", "educator")
TODAY = clock.today()


class Town(School):
    """Two schools; at the first two teachers beside the principal. Plans in it are what their documents say."""

    async def person(self, key: str) -> str:
        return await self._id("person", key)

    async def school(self, key: str = "school-1") -> str:
        return await self._id("organization", key)

    async def _id(self, kind: str, key: str) -> str:
        async with self.store.transaction(self.district) as c:
            found = await c.scalar(
                text("SELECT CAST(entity_id AS text) FROM link WHERE kind = :kind AND key = :key AND method <> 'alias'"),
                {"kind": kind, "key": key},
            )
        return str(found)

    async def plan(self, student: str, owner: str = "tea-1", coordinator: str = "tea-2", **more: Any) -> str:
        """A draft."""
        content = {
            "student": await self.person(student),
            "school": await self.school(),
            "coordinator": await self.person(coordinator),
            "period_start": TODAY.isoformat(),
            "next_review_on": (TODAY + timedelta(days=30)).isoformat(),
            "supports": [{"name": "Reading hour", "kind": "tutoring", "owner": await self.person(owner)}],
        }
        return await planning.create(self.store, self.district, content | more, COUNSELOR)

    async def finalized(self, student: str, **more: Any) -> str:
        """The same with a finalized version. What guards ask for is tested elsewhere."""
        id = await self.plan(student, **more)
        async with self.store.transaction(self.district) as c:
            found = await stored.load(c, id)
            content = canonical(Plan.model_validate(found.content))
            version = StoredVersion(id, 1, content.decode(), sha256(content), f"{TODAY}T08:00Z", {}, [])
            await stored.add_version(c, self.district, version, None)
            await stored.save(c, self.district, found, "finalized", content.decode(), "finalize", COUNSELOR)
        return id

    async def edit(self, plan: str, **more: Any) -> None:
        async with self.store.transaction(self.district) as c:
            found = await stored.load(c, plan)
        await planning.edit(self.store, self.district, plan, found.content | more, COUNSELOR)

    async def waits(self, **which: Any) -> list[dict[str, Any]]:
        async with self.store.transaction(self.district) as c:
            return await attention.listed(c, TODAY, **which)

    async def kinds(self, plan: str = "") -> list[str]:
        return sorted(one["kind"] for one in await self.waits() if plan in ("", one["plan"]))

    async def look(self, today: date = TODAY) -> dict[str, int]:
        async with self.store.transaction(self.district) as c:
            return await attention.look_all(c, self.district, today)

    async def told(self) -> list[dict[str, Any]]:
        """Notices of plans that were made since, the newest last."""
        async with self.store.transaction(self.district) as c:
            key, waiting = await attention.untold(c, TODAY)
            if waiting:
                await outbox.add(c, self.district, "plans", key, telling(waiting))
        made = await outbox.listed(self.store, self.district, 100)
        return [one for one in reversed(made) if one["event"] == "plans"]


def telling(waiting: Any) -> Any:
    from gateway.telling import of_plans

    return of_plans(waiting)


@pytest.fixture
async def town(store: Store, district: int, actor: Actor, tmp_path: Path) -> AsyncIterator[Town]:
    made = Town(tmp_path / "package", store=store, district=district, actor=actor)
    made.files["orgs"].append(
        {"sourcedId": "school-2", "name": "Sorrel School", "type": "school", "parentSourcedId": "district-1"}
    )
    made.files["users"] += [
        user("tea-2", "teacher", "Araminta", "Bellweather", identifier="501"),
        user("adm-1", "administrator", "Cornelius", "Thackery", identifier="502"),
        user("adm-2", "administrator", "Philippa", "Nightjar", identifier="503", orgSourcedIds="school-2"),
    ]
    await made.connect()
    await made.pull()
    yield made


def leave(town: Town, key: str) -> None:
    town.files["users"].remove(town.row("users", key))


async def test_who_owns_a_support_and_leaves_is_told_in_the_same_run(town: Town) -> None:
    hers, other = await town.finalized("stu-vexwood-1"), await town.plan("stu-vexwood-2", owner="tea-2")
    assert await town.kinds() == []
    leave(town, "tea-1")
    run = await town.pull()
    assert run["state"] == "published" and run["counts"]["plans"] == {"owner-gone": 1}  # type: ignore[index]
    [one] = await town.waits(run=run["id"])
    assert (one["plan"], one["item"], one["kind"]) == (hers, "support-1", "owner-gone")
    assert one["who_acts_ids"] == [await town.person("tea-2")] and one["who_acts"] == "Araminta Bellweather"
    async with town.store.transaction(town.district) as c:
        assert (await stored.load(c, hers)).state == "finalized", "the plan stays as it is"
    assert await town.kinds(other) == []
