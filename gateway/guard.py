"""What makes a run wait for a person, judged on the whole change set before anything is published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

REMOVED_SHARE = 0.10
REMOVED_AT_LEAST = 10


@dataclass
class CollectionCount:
    """What a run would do to one collection. `known` is how many records are published now."""

    collection: str
    received: int = 0
    distinct: int = 0
    duplicates: int = 0
    inactive: int = 0
    rejected: int = 0
    added: int = 0
    changed: int = 0
    same: int = 0
    gone: int = 0
    known: int = 0
    total: int | None = None
    absent: str = ""
    unkeyed: int = 0


@dataclass(frozen=True)
class Hold:
    """One reason to wait: how many of how many records are affected."""

    code: str
    collection: str
    reason: str
    affected: int
    known: int


def holds(counts: Sequence[CollectionCount]) -> list[Hold]:
    """Every reason why this change set must wait; empty when it may be published."""
    return [hold for count in counts for hold in _holds(count)]


def too_many(removed: int, known: int) -> bool:
    """More than 10 % and more than 10 would disappear."""
    return removed > max(REMOVED_AT_LEAST, REMOVED_SHARE * known)


def unpublished(published: Mapping[str, Mapping[str, int]], known: Mapping[str, int]) -> list[Hold]:
    """Reasons to wait that show only when everything is resolved: one course that is gone takes its classes and
    their enrollments with it. `published` is kind -> {added, changed, removed}; `known` counts what was there."""
    found = []
    for kind, moved in published.items():
        removed, there = moved.get("removed", 0), known.get(kind, 0)
        # A key that changed at the source removes one entity and adds another: only the loss counts.
        if too_many(removed, there) and removed > moved.get("added", 0):
            reason = f"{removed} of {there} published {kind} entries would disappear, with what they depend on."
            found.append(Hold("many-unpublished", kind, reason, removed, there))
    return found


def _holds(count: CollectionCount) -> list[Hold]:
    if count.absent:
        return []
    found = []
    if count.total is not None and count.distinct + count.unkeyed < count.total:
        missing = count.total - count.distinct - count.unkeyed
        found.append(
            Hold(
                "incomplete-collection",
                count.collection,
                f"The source says it has {count.total} {count.collection}, but {count.distinct} arrived.",
                missing,
                count.known,
            )
        )
    if count.known and not count.received:
        found.append(
            Hold(
                "empty-collection",
                count.collection,
                f"The source sent no {count.collection} at all; {count.known} are published.",
                count.known,
                count.known,
            )
        )
    elif too_many(count.gone, count.known):
        found.append(
            Hold(
                "many-removed",
                count.collection,
                f"{count.gone} of {count.known} {count.collection} would be removed "
                f"({100 * count.gone / count.known:.0f} %; the limit is {100 * REMOVED_SHARE:.0f} %).",
                count.gone,
                count.known,
            )
        )
    return found
