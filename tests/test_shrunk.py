"""A class that goes on and loses its students is an alarm, also where no enrollment says when it ends."""

from pathlib import Path

from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.identity.rosters import FILLERS, connected


async def test_a_class_loses_students_whose_enrollment_has_no_last_day(
    store: Store, district: int, actor: Actor, tmp_path: Path
) -> None:
    sis = await connected(store, district, "sis", tmp_path, actor)
    keys = [one.key for one in FILLERS][:8]
    await sis.says(*FILLERS, enrolled=keys)
    run = await sis.says(*FILLERS, enrolled=keys[:1])
    assert [(hold["code"], hold["affected"]) for hold in run["holds"]] == [("class-emptied", 7)]
