"""What a family or a student adds in their own words: an entry of the running record under their name, never a goal."""

from datetime import date

from gateway import record, viewing
from gateway.access import SECTIONS, TABLE, Section, Who
from gateway.errors import ConfigError, Refused
from gateway.schema.record import Entry, EntryKind
from gateway.store.database import Store
from gateway.store.registers import Actor, log_act

ADDED_TO: tuple[Section, ...] = tuple(section for section in SECTIONS if "add" in TABLE[section].values())
"""The sections to which anybody may add and which they may not write."""


async def add(
    store: Store, district: int, student: str, section: str, words: str, actor: Actor, on: date | None = None
) -> Entry:
    """Keep what the actor's person says about a section of a student's plan, for those who write the plan. Refused, and
    on record, where the access table does not have them add to that section today."""
    if section not in ADDED_TO:
        raise ConfigError(
            "input-section", "Nobody adds to this section from outside.", f"Choose from: {', '.join(ADDED_TO)}."
        )
    if actor.person is None:
        raise Refused("input-author", "What is added is somebody's own words.", "Say whose: a person of the roster.")
    decision = (await viewing.why(store, district, Who(person=actor.person), student))[section]
    if not decision.allowed or decision.how != "add":
        async with store.transaction(district) as c:
            await log_act(c, district, actor, "write-refused", student, {"person": actor.person, "section": section})
        raise Refused(
            "input-refused",
            f"This person adds nothing to that section. {decision.reason}",
            "Staff write to the record themselves; `planbridge access why` says who is what.",
        )
    # Whoever is the student speaks for themselves, also where they are of age and so have the family's rights.
    kind: EntryKind = "student_voice" if decision.role == "student" else "family_contact"
    content = {"kind": kind, "occurred_on": on, "body": {"text": words, "adds_to": section}}
    return await record.add(store, district, student, content, actor)
