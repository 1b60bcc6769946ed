"""Plans opened for a grade or a school at once: prefilled, for people to go on with; none is ever finalized so."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway import clock, prefill
from gateway.errors import ConfigError
from gateway.schema.plan import Plan, canonical
from gateway.store import measured, prefills, reading
from gateway.store import plans as stored
from gateway.store.database import Store
from gateway.store.registers import Actor, log_act

CHUNK = 500


@dataclass
class Opened:
    """What came of it: the plans (student, plan), and of those who got none, how many, by reason."""

    plans: list[tuple[str, str]] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)

    def skip(self, reason: str) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + 1


async def open_plans(
    store: Store, district: int, actor: Actor, *, school: str = "", grade: str = "", dry: bool = False
) -> Opened:
    """Open a plan for every student of a school or a grade who has none that is not over; again it opens those that
    are new since. `dry`: only says what it would do. ConfigError where neither is named, or there is no such school."""
    if not school and not grade:
        raise ConfigError("selection-missing", "For whom are plans to be opened?", "Give --school, --grade or both.")
    if school:
        school = await _school(store, district, school)
    done, today = Opened(), clock.today()
    chosen = []
    for student in await reading.find_students(store, district):
        here = prefill.schools(student, today)
        if grade and grade not in student.get("grades", ()):
            continue
        if school and school not in here:
            continue
        if not here:
            done.skip("enrolled nowhere today")
        elif not student.get("active", True):
            done.skip("not active")
        else:
            chosen.append(student)
    for first in range(0, len(chosen), CHUNK):
        await _open(store, district, chosen[first : first + CHUNK], actor, done, school, dry=dry)
    return done


async def _school(store: Store, district: int, named: str) -> str:
    """The school of that entity id, number or name."""
    found = [
        one["id"]
        for one in await reading.entities(store, district, "organization")
        if named in (one["id"], one.get("identifier"), one["name"])
    ]
    if len(found) != 1:
        many = "Several schools have" if found else "No school has"
        raise ConfigError("school-unknown", f"{many} this name, number or id.", "Give its entity id.")
    return str(found[0])


async def _open(
    store: Store,
    district: int,
    students: Sequence[dict[str, Any]],
    actor: Actor,
    done: Opened,
    school: str,
    *,
    dry: bool,
) -> None:
    today = clock.today()
    async with store.transaction(district) as c:
        await prefills.lock_openings(c, district)
        having = await prefills.with_plan(c, measured.ENDED)
        without = [student for student in students if student["id"] not in having]
        for _ in range(len(students) - len(without)):
            done.skip("has a plan")
        if dry:
            done.plans += [(student["id"], "") for student in without]
            return
        for student, found in zip(
            without, await prefill.known(store, c, district, without, today, school=school), strict=True
        ):
            id = str(uuid.uuid4())
            content, known = prefill.begun({}, found, None)
            plan = canonical(Plan.model_validate(content)).decode()
            await stored.create(c, district, id, student["id"], plan, actor, "gathering")
            await prefills.keep(c, district, id, known, clock.now())
            done.plans.append((student["id"], id))
        if without:
            await log_act(c, district, actor, "plans-opened", "", {"plans": len(without)})
