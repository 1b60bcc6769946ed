"""What a draft still lacks, in words that a family can read: the guards' pointers as sentences."""

from collections.abc import Sequence

from gateway.plans import GuardResult
from gateway.printing.words import Words
from gateway.schema.plan import Plan


def missing(plan: Plan, report: Sequence[GuardResult], words: Words) -> list[str]:
    """Each thing that is missing, once, in the order of the guards."""
    pointers = dict.fromkeys(pointer for result in report if not result.ok for pointer in result.missing)
    return list(dict.fromkeys(_sentence(plan, pointer, words) for pointer in pointers))


def _sentence(plan: Plan, pointer: str, words: Words) -> str:
    """The most exact sentence there is for a pointer. One without any is named as it is: nothing is kept silent."""
    section, *way = pointer.strip("/").split("/")
    number = ""
    if way and way[0].isdigit():
        number, way = _name(plan, section, int(way[0])), way[1:]
    parts = [section, *(part for part in way if not part.isdigit())]
    for n in range(len(parts), 0, -1):
        key = "missing." + ".".join(parts[:n])
        if words.has(key) and ("{number}" not in words.file["text"][key] or number):
            return words.text(key, number=number)
    return words.text("missing.other", pointer=pointer)


def _name(plan: Plan, section: str, place: int) -> str:
    items = getattr(plan, section, ())
    name = getattr(items[place], "id", None) if place < len(items) else None
    return str(name).rpartition("-")[2] if name else str(place + 1)
