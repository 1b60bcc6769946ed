"""Which section each field of a plan, a record and the common schema belongs to, and what is left without some."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.access import May, Section
from gateway.schema.codes import OUT_OF_SCHOOL
from gateway.schema.plan import PREFIX
from gateway.schema.record import Entry, EntryKind
from gateway.schema.roster import AT_HOME

BY_DOMAIN: Mapping[str, Section] = {
    "academic": "academic",
    "attendance_engagement": "academic",
    "language": "academic",
    "college_career": "academic",
    "enrichment": "academic",
    "social_emotional": "social_emotional",
    "behavior": "social_emotional",
    "physical_health": "health",
    "mental_health": "health",
    "accessibility": "health",
    "family_basic_needs": "family_needs",
}
BY_KIND: Mapping[str, Section] = {
    "health_service": "health",
    "basic_needs": "family_needs",
    "special_education_service_ref": "program_status",
    "section_504_accommodation_ref": "program_status",
}
"""Supports that tell by their name alone what somebody must not know."""


def _of_need(item: Mapping[str, Any]) -> tuple[Section, ...]:
    return (BY_DOMAIN.get(item.get("domain", ""), "restricted_notes"),)


def _of_goal(item: Mapping[str, Any]) -> tuple[Section, ...]:
    # A goal about health says what a need about health says: who may not know the one does not read the other.
    told = BY_DOMAIN.get(item.get("domain", ""), "restricted_notes")
    return ("goals",) if told == "academic" else ("goals", told)


def _of_support(item: Mapping[str, Any]) -> tuple[Section, ...]:
    where: Section = "outside_supports" if item.get("setting") in OUT_OF_SCHOOL else "school_supports"
    told = BY_KIND.get(item.get("kind", ""))
    return (where,) if told is None else (where, told)


BY_EXTERNAL_PLAN: Mapping[str, Section] = {
    "learning_plan": "academic",
    "behavior_plan": "social_emotional",
    "health_plan": "health",
}
BY_DOCUMENT: Mapping[str, Section] = {
    "profile": "strengths",
    "academic": "academic",
    "social_emotional": "social_emotional",
    "health": "health",
    "family": "family_needs",
    "supports": "school_supports",
    "team": "identity",
    "record": "notes",
}


def _of_external_plan(item: Mapping[str, Any]) -> tuple[Section, ...]:
    return (BY_EXTERNAL_PLAN.get(item.get("type", ""), "program_status"),)  # that there is one tells of a status


def _of_document(item: Mapping[str, Any]) -> tuple[Section, ...]:
    return (BY_DOCUMENT.get(item.get("section", ""), "restricted_notes"),)


PLAN_FIELDS: Mapping[str, Section | Callable[[Mapping[str, Any]], tuple[Section, ...]]] = {
    "student": "identity",
    "school": "identity",
    "coordinator": "identity",
    "period_start": "identity",
    "period_end": "identity",
    "next_review_on": "identity",
    "language": "identity",
    "numbered": "identity",
    "translations": "identity",
    "team": "identity",
    "title": "goals",
    "tier": "goals",
    "strengths": "strengths",
    "interests": "strengths",
    "needs": _of_need,
    "goals": _of_goal,
    "supports": _of_support,
    "reviews": "goals",
    "external_plans": _of_external_plan,
    "documents": _of_document,
    "consultations": "consultation",
    "attempts": "consultation",
    "waiver": "consultation",
}
"""Field of a plan -> its section; of some it depends on the item. What is not here is shown to nobody. Of translations,
reviews and changes only what belongs to items that are shown in full."""

_CONTACT = ("email", "phone", "sms", "username")
_STATUS = ("sex", "races", "hispanic")
KIND_SECTIONS: Mapping[str, Section] = {
    "organization": "identity",
    "session": "identity",
    "resource": "identity",
    "course": "identity",
    "class": "identity",
    "person": "identity",
    "enrollment": "identity",
    "relationship": "contacts",
    "program_status": "program_status",
    "meal_eligibility": "program_status",
    "category": "academic",
    "score_scale": "academic",
    "line_item": "academic",
    "result": "academic",
    "assessment": "academic",
    "assessment_result": "academic",
    "attendance_event": "academic",
    "course_grade": "academic",
    "discipline_incident": "social_emotional",
}
FIELD_SECTIONS: Mapping[tuple[str, str], Section] = {
    **dict.fromkeys((("person", name) for name in _CONTACT), "contacts"),
    **dict.fromkeys((("person", name) for name in _STATUS), "program_status"),
    **dict.fromkeys((("person", name) for name in AT_HOME), "family_needs"),
    ("relationship", "restrictions"): "restricted_notes",
}
"""Where a field is in another section than its kind."""


def section_of(kind: str, field: str) -> Section:
    """The section of a field of the common schema. KeyError for a kind that has none: then nobody is shown it."""
    return FIELD_SECTIONS.get((kind, field), KIND_SECTIONS[kind])


MASKED_KEEPS: Mapping[Section, tuple[str, ...]] = {
    "identity": ("id", "role"),
    "social_emotional": ("id", "domain", "statement", "severity", "status"),
    "health": ("id", "domain", "severity", "status"),
    "family_needs": ("id", "domain", "status"),
    "outside_supports": ("id", "setting", "status"),
    "consultation": ("id", "held_on"),
    "goals": ("id", "statement"),
}
"""What stays of an item that somebody may know of and not read: of a social need its statement, of health and of what a
family needs only that there is something, of a consultation that it was held, of a goal its words if they may be shown
in a learning platform."""

WHOLE = frozenset[May]({"full", "add", "read"})


@dataclass(frozen=True)
class Left:
    """Something that was left out or cut short, and the section because of which."""

    pointer: str
    section: Section | None


def seen(
    content: Mapping[str, Any],
    how: Mapping[Section, May],
    mine: Callable[[Mapping[str, Any]], bool] = lambda item: False,
) -> tuple[dict[str, Any], list[Left]]:
    """A plan's content for somebody who sees each section so (`none` where it is not named), and what of it is missing.
    `mine` says of an item that it is theirs, for sections of which they see their own."""
    shown: dict[str, Any] = {}
    left: list[Left] = []
    for name, value in content.items():
        rule = PLAN_FIELDS.get(name)
        if not isinstance(value, list):
            section = rule if isinstance(rule, str) else None
            if section is not None and _may(section, how) in WHOLE | ({"masked"} if section == "identity" else set()):
                shown[name] = value  # ids and days say nothing of anybody
            elif value not in (None, {}):
                left.append(Left(f"/{name}", section))
            continue
        kept = []
        for n, item in enumerate(value):
            sections = _sections(rule, item)
            part, because = _item(item, sections, how, mine)
            if part is not None:
                kept.append(part)
            if because is not None:
                left.append(Left(f"/{name}/{n}", because if sections else None))
        if kept or not value:
            shown[name] = kept
    return _without_loose_ends(shown, _hidden(content, shown)), left


def told(field: str, item: Mapping[str, Any]) -> tuple[Section, ...]:
    """The sections of an item in a list of a plan: the one it belongs to, and those of which its words tell beside."""
    return _sections(PLAN_FIELDS.get(field), item)


def serving_only(content: Mapping[str, Any], withheld: Collection[Section]) -> frozenset[str]:
    """The ids of the supports that serve only goals which tell of one of these sections: who is given such a support
    is told of it too."""
    private = {one["id"] for one in content.get("goals", ()) if not set(withheld).isdisjoint(told("goals", one)[1:])}
    supports = content.get("supports", ()) if private else ()
    return frozenset(one["id"] for one in supports if one.get("goals") and private.issuperset(one["goals"]))


def _sections(rule: Any, item: Any) -> tuple[Section, ...]:
    if rule is None or not isinstance(item, dict):
        return ()
    return (rule,) if isinstance(rule, str) else rule(item)  # type: ignore[return-value]


def _item(
    item: Any,
    sections: tuple[Section, ...],
    how: Mapping[Section, May],
    mine: Callable[[Mapping[str, Any]], bool],
) -> tuple[Any, Section | None]:
    """What is shown of an item, and the section because of which it is not all."""
    if not sections:
        return None, "restricted_notes"
    first, *others = sections
    for section in others:  # what its words would tell beside
        if _may(section, how) == "none":
            return None, section
    may = _may(first, how)
    if may in WHOLE or (may == "own" and mine(item)):
        return item, None
    if may == "masked" and first == "goals" and not item.get("shareable"):
        return None, first
    if may == "masked":
        return {name: item[name] for name in MASKED_KEEPS.get(first, ("id",)) if name in item}, first
    return None, first


def _may(section: Section, how: Mapping[Section, May]) -> May:
    return how.get(section, "none")


def _hidden(content: Mapping[str, Any], shown: Mapping[str, Any]) -> frozenset[str]:
    """What is not shown in full, and so is not spoken of elsewhere: items by id, fields by pointer. Where a section
    lacks any, an item that is gone from the plan (`need-`) may have been one of those."""
    found: set[str] = set()
    for name, value in content.items():
        now = shown.get(name)
        if isinstance(value, list):
            here = {one["id"]: one for one in now or () if "id" in one}
            gone = {one["id"] for one in value if isinstance(one, dict) and "id" in one and here.get(one["id"]) != one}
            found |= gone
            if len(now or ()) < len(value) or gone:
                found |= {f"/{name}", f"{PREFIX.get(name, name)}-"}
        elif name not in shown:
            found.add(f"/{name}")
    known = {one["id"] for value in content.values() if isinstance(value, list) for one in value if "id" in one}
    return frozenset(found | {f"known {id}" for id in known})


def _told(item: str, hidden: frozenset[str]) -> bool:
    """Whether words about this item (an id, `id/part` or a pointer) may be read by somebody to whom this is hidden."""
    if item.startswith("/"):
        return "/".join(item.split("/")[:2]) not in hidden
    id = item.split("/")[0]
    return id not in hidden if f"known {id}" in hidden else f"{id.rsplit('-', 1)[0]}-" not in hidden


LOOSE_ENDS = {
    "goals": "addresses",
    "supports": "goals",
    "translations": "items",
    "reviews": "per_goal",
    "consultations": "changes",
}
"""Where the items of a section speak of other items."""


def _without_loose_ends(shown: dict[str, Any], hidden: frozenset[str]) -> dict[str, Any]:
    """Without references to items that are not shown, whose number alone would tell of them, and without words about
    what is not shown in full."""
    here = {one["id"] for value in shown.values() if isinstance(value, list) for one in value if "id" in one}
    for name in ("goals", "supports"):
        _each(shown, name, LOOSE_ENDS[name], lambda id: id in here or _told(id, hidden))
    _each(shown, "translations", "items", lambda line: _told(line["item"], hidden))
    _each(shown, "reviews", "per_goal", lambda found: _told(found["goal"], hidden))
    _each(shown, "consultations", "changes", lambda change: _told(change["item"], hidden))
    return shown


def _each(shown: dict[str, Any], name: str, field: str, kept: Callable[[Any], bool]) -> None:
    """Leave of a list in every item of a section what is `kept`."""
    if name in shown:
        shown[name] = [
            {**item, field: [one for one in item[field] if kept(one)]} if item.get(field) else item
            for item in shown[name]
        ]


def written(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    how: Mapping[Section, May],
    mine: Callable[[Mapping[str, Any]], bool] = lambda item: False,
) -> dict[str, Any]:
    """A plan's content once somebody who sees `before` so has put `after` in its place: what they were not shown in
    full stays as it stands, at its place, whatever they wrote."""
    shown, _ = seen(before, how, mine)
    whole = dict(after)
    for name, value in before.items():
        if not isinstance(value, list):
            if name not in shown:
                whole[name] = value
            continue
        rule = PLAN_FIELDS.get(name)
        hidden = {n: item for n, item in enumerate(value) if _item(item, _sections(rule, item), how, mine)[1]}
        gone = {item["id"] for item in hidden.values()}
        items = [one for one in after.get(name) or () if one.get("id") not in gone]
        for n, item in hidden.items():
            items.insert(n, item)
        whole[name] = items
        if field := LOOSE_ENDS.get(name):
            known = {item["id"]: item.get(field, []) for item in value}
            was = {item["id"]: item.get(field, []) for item in shown.get(name, ()) if item["id"] not in gone}
            whole[name] = [_tied_again(one, field, known, was) for one in items]
    return whole


def _tied_again(
    item: Mapping[str, Any], field: str, known: Mapping[str, list[Any]], was: Mapping[str, list[Any]]
) -> Mapping[str, Any]:
    """With those of its references that were kept from whoever wrote it."""
    id = item.get("id", "")
    if id not in was:
        return item
    more = [one for one in known[id] if one not in was[id] and one not in (item.get(field) or ())]
    return {**item, field: [*(item.get(field) or ()), *more]} if more else item


def touched(content: Mapping[str, Any]) -> list[Section]:
    """The sections of which a plan's content says anything, in the order of the fields."""
    found: dict[Section, None] = {}
    for name, value in content.items():
        rule = PLAN_FIELDS.get(name)
        if isinstance(value, list):
            for item in value:
                found |= dict.fromkeys(_sections(rule, item))
        elif value not in (None, {}) and isinstance(rule, str):
            found[rule] = None
    return list(found)


ENTRY_SECTIONS: Mapping[EntryKind, Section] = {
    "observation": "notes",
    "assessment_result": "academic",
    "meeting": "notes",
    "family_contact": "notes",
    "student_voice": "notes",
    "support_delivery": "school_supports",
    "progress_point": "goals",
    "attendance_signal": "academic",
    "behavior_signal": "social_emotional",
    "document": "notes",
    "import_note": "notes",
    "correction": "notes",
}
"""What an entry of the running record tells by its kind alone."""
BODY_FIELDS: Mapping[str, Section] = {
    "text": "notes",
    "because": "notes",
    "adds_to": "notes",
    "evidence": "academic",
    "delivery": "school_supports",
    "point": "goals",
}
"""Field of what an entry says -> its section. What is not here is shown to nobody."""
ENTRY_HEAD = ("kind", "occurred_on", "domain", "restricted")
"""What is told of an entry to those who may read anything that it says, and to nobody else."""


def entry_sections(entry: Entry, name: str, about: Entry | None = None) -> tuple[Section, ...]:
    """The sections of a field of what an entry says: of all that its kind and domain tell beside. `about`: what a
    withdrawal speaks of."""
    of = about or entry
    if entry.restricted or of.restricted or name not in BODY_FIELDS:
        return ("restricted_notes",)
    told = BY_DOMAIN.get(of.domain, "restricted_notes") if of.domain else "academic"
    kind: Section = ENTRY_SECTIONS.get(of.kind, "restricted_notes")  # type: ignore[call-overload]
    beside = [one for one in (kind, told) if one not in ("academic", "notes", BODY_FIELDS[name])]
    return (BODY_FIELDS[name], *dict.fromkeys(beside))


def entry_seen(
    entry: Entry, how: Mapping[Section, May], *, mine: bool, about: Entry | None = None
) -> tuple[dict[str, Any], list[str]]:
    """What an entry says to somebody who sees each section so, and the fields that are left out. `mine`: they wrote it.
    Of an entry whose words were removed the words are the field `text`."""
    said = entry.said()
    body = {"text": None} if said is None else said.model_dump(mode="json", exclude_defaults=True)
    shown = {name: value for name, value in body.items() if _reads(entry_sections(entry, name, about), how, mine)}
    return shown, [name for name in body if name not in shown]


def _reads(sections: tuple[Section, ...], how: Mapping[Section, May], mine: bool) -> bool:
    first, *others = sections
    may = _may(first, how)
    if may == "own":
        return mine  # they know what they wrote
    if may not in WHOLE:
        return False
    # Words about a need say more than a goal or a support for it does.
    return all(_may(one, how) in WHOLE if first == "notes" else _may(one, how) != "none" for one in others)


KNOWN_SECTIONS: Mapping[str, tuple[Section, ...]] = {
    "/context/grades": ("identity",),
    "/context/languages": ("identity",),
    "/context/program_status": ("program_status",),
    "/context/at_home": ("family_needs",),
    "/consultations": ("consultation", "contacts"),
    "/needs": ("academic",),
    "/goals": ("goals", "academic"),
    "/supports": ("school_supports", "outside_supports"),
}
"""Beginning of a pointer to what a plan was begun with -> its sections. It cites results, and nothing of health."""


def known_sections(pointer: str, value: Any) -> tuple[Section, ...]:
    """The sections of something that a plan was begun with."""
    top = pointer.split("/")[1]
    for beginning, named in KNOWN_SECTIONS.items():
        if pointer == beginning or pointer.startswith(f"{beginning}/"):
            told = BY_DOMAIN.get(value, "restricted_notes") if pointer.endswith("/domain") else None
            return named if told is None or told in named else (*named, told)
    rule = PLAN_FIELDS.get(top)
    return (rule,) if isinstance(rule, str) else ("restricted_notes",)


def known_seen(pointer: str, value: Any, how: Mapping[Section, May]) -> bool:
    """Whether somebody who sees each section so is shown something that a plan was begun with."""
    named = known_sections(pointer, value)
    return all(
        _may(one, how) in WHOLE or (one == "identity" and _may(one, how) == "masked" and isinstance(value, str))
        for one in named
    )
