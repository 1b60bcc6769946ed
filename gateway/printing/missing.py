"""What a draft still lacks, in words that a family can read: the guards' pointers as sentences."""

from collections.abc import Sequence

from gateway.plans import GuardResult
from gateway.printing.words import Words
from gateway.schema.plan import Plan


def missing(plan: Plan, seen: Plan, report: Sequence[GuardResult], words: Words) -> list[str]:
    """Each thing that is missing, once, in the order of the guards. Of an item that the reader does not see (it is not
    in `seen`) only that there is something."""
    pointers = dict.fromkeys(pointer for result in report if not result.ok for pointer in result.missing)
    return list(dict.fromkeys(_sentence(plan, seen, pointer, words) for pointer in pointers))


def _sentence(plan: Plan, seen: Plan, pointer: str, words: Words) -> str:
    """The most exact sentence there is for a pointer. One without any is named as it is: nothing is kept silent."""
    section, *way = pointer.strip("/").split("/")
    number = ""
    if way and way[0].isdigit():
        name, way = _name(plan, section, int(way[0])), way[1:]
        if name and name not in {getattr(one, "id", None) for one in getattr(seen, section, ())}:
            return words.text("missing.hidden")
        number = name.rpartition("-")[2]
    parts = [section, *(part for part in way if not part.isdigit())]
    for n in range(len(parts), 0, -1):
        key = "missing." + ".".join(parts[:n])
        if words.has(key) and ("{number}" not in words.file["text"][key] or number):
            return words.text(key, number=number)
    return words.text("missing.other", pointer=pointer)


def _name(plan: Plan, section: str, place: int) -> str:
    items = getattr(plan, section, ())
    return str(getattr(items[place], "id", "")) if place < len(items) else ""
