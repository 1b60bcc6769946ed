"""What makes a run wait for a person: limits for each collection, judged on the whole change set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Effect = Literal["all", "removals"]
Share = Annotated[float, Field(ge=0)]

SHOWN = 5
"""Identifier systems that a sentence names."""

EVERY = "*"
"""Stands for all collections where limits are set."""


class Limits(BaseModel):
    """How much of one collection a run may change unseen; shares are parts of what is published, 0.1 = 10 %.

    A share counts only where more than `at_least` records are concerned: in a small collection one record is much.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    removed: Share = Field(default=0.10, description="Removals. What was due to end by now is not counted.")
    changed: Share = Field(default=0.75, description="Updates made at the source.")
    added: Share = Field(default=1.0, description="Additions, where there are more than `added_at_least`.")
    rekeyed: Share = Field(default=0.5, description="Removals and additions at once: all ids seem to be new.")
    shrunk: Share = Field(default=0.5, description="What one class with at least `shrunk_from` students may lose.")
    unmatched: Share = Field(default=0.05, description="More people than before who match nobody.")
    recognised: Share = Field(default=0.0, description="What part of the students a run names must be known.")
    unmapped: Share = Field(default=0.5, description="Values without a line in their crosswalk, of the records read.")
    at_least: int = Field(default=10, ge=0)
    added_at_least: int = Field(default=1000, ge=0)
    shrunk_from: int = Field(default=5, ge=1)
    repeated: Share = Field(default=0.0, description="Records that came on more than one page, without a total.")


class Guards(BaseModel):
    """What a district set for one connection: limits by collection of the source (or kind of entity), `*` for all.

    `hold_all`: where only removals pass a limit, hold everything and not the removals alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hold_all: bool = False
    limits: dict[str, dict[str, float]] = {}

    def of(self, collection: str) -> Limits:
        """The limits of one collection."""
        return Limits.model_validate(self.limits.get(EVERY, {}) | self.limits.get(collection, {}))

    def over(self, usual: Mapping[str, Mapping[str, float]]) -> "Guards":
        """With a connector's own usual limits below it."""
        limits = {name: dict(own) for name, own in usual.items()}
        for name, own in self.limits.items():
            limits[name] = limits.get(name, {}) | own
        return Guards(hold_all=self.hold_all, limits=limits)

    def eased(self, allowances: Iterable[Mapping[str, Mapping[str, float]]]) -> "Guards":
        """With what a person allowed for a while laid over it."""
        limits = {name: dict(own) for name, own in self.limits.items()}
        for allowance in allowances:
            for name, own in allowance.items():
                limits[name] = limits.get(name, {}) | dict(own)
            # Allowed for all collections means: also where one collection has a limit of its own.
            for name in limits:
                limits[name] |= dict(allowance.get(EVERY, {})) if name not in allowance else {}
        return Guards(hold_all=self.hold_all, limits=limits)


@dataclass
class CollectionCount:
    """What a run would do to one collection. `known` is how many records are published now.

    `changed` counts what differs at the source, `remapped` what only our mapping reads differently now. `ended`: of
    those gone, how many were due to end by now, or were only another name, or have another key now; `year_over`: how
    many belong to a school year that is over. `repeated`: keys that came on more than one page. `partial`: only what
    changed was asked for. `mapped`: records that were mapped, `unmapped`: values of them without a line in their
    crosswalk.
    """

    collection: str
    received: int = 0
    distinct: int = 0
    duplicates: int = 0
    inactive: int = 0
    rejected: int = 0
    added: int = 0
    changed: int = 0
    remapped: int = 0
    same: int = 0
    gone: int = 0
    ended: int = 0
    year_over: int = 0
    known: int = 0
    total: int | None = None
    absent: str = ""
    partial: bool = False
    unkeyed: int = 0
    purged: int = 0
    repeated: int = 0
    mapped: int = 0
    unmapped: int = 0


@dataclass(frozen=True)
class Shrunk:
    """A class that goes on, and that lost most of its students: it had so many, and now has so many."""

    had: int
    has: int


@dataclass(frozen=True)
class Confused:
    """Signs that one student was taken for another: so many have a number that is another's, so many have the name
    and birth date that another had, so many results belong to another than before."""

    one_number: int = 0
    swapped: int = 0
    results: int = 0


@dataclass(frozen=True)
class Effects:
    """What shows only when everything is resolved. `published` is kind -> {added, changed, removed}, `ended` how many
    of those removed were due to end, `known` how many there were. `unmatched` people match nobody now,
    `unmatched_before` did not before; `people` of the connection were recognised before. `named`: the students that
    this run's records name, `strangers`: those of them who match nobody; `by`: how many
    each sort of number would recognise; `zeros`: how many more, if leading zeros did not count."""

    published: Mapping[str, Mapping[str, int]]
    known: Mapping[str, int]
    ended: Mapping[str, int] = field(default_factory=dict)
    shrunk: Sequence[Shrunk] = ()
    people: int = 0
    unmatched: int = 0
    unmatched_before: int = 0
    named: int = 0
    strangers: int = 0
    confused: Confused = Confused()
    by: Sequence[tuple[str, int]] = ()
    zeros: int = 0


@dataclass(frozen=True)
class Hold:
    """One reason to wait: how many of how many are affected, and what waits: everything, or the removals alone."""

    code: str
    collection: str
    reason: str
    affected: int
    known: int
    effect: Effect = "all"


def holds(
    counts: Sequence[CollectionCount], guards: Guards, *, whole: bool = True, pages_move: bool = False
) -> list[Hold]:
    """Every reason why this change set must wait. `whole`: the run read whole collections, so absence means gone.
    `pages_move`: rows could change pages while they were read, so that what came twice may stand for what did not."""
    return [
        hold
        for count in counts
        if not count.absent
        for hold in _holds(count, guards.of(count.collection), whole, pages_move)
    ]


def only_removals(reasons: Sequence[Hold], guards: Guards) -> bool:
    """Whether additions and updates may be published while the removals wait."""
    return not guards.hold_all and all(hold.effect == "removals" for hold in reasons)


def _holds(count: CollectionCount, limits: Limits, whole: bool, pages_move: bool) -> Iterable[Hold]:
    name, known = count.collection, count.known
    # A new school year begins without attendance.
    if whole and not count.partial and known > count.year_over and not count.received:
        reason = f"The source sent no {name} at all; {known} are published."
        yield Hold("empty-collection", name, reason, known, known)
        return
    arrived = count.distinct + count.unkeyed + count.purged
    if count.total is not None and arrived < count.total:
        reason = f"The source says it has {count.total} {name}, but {count.distinct} arrived."
        if count.repeated:
            reason += f" {count.repeated} came on more than one page: its pages seem to shift while they are read."
        yield Hold("incomplete-collection", name, reason, count.total - arrived, known)
    lost = count.gone - count.ended
    # Of a pull of what changed, nothing is gone because it did not come.
    if count.total is None and count.repeated and lost and not count.partial:
        reason = (
            f"{count.repeated} {name} came on more than one page while {lost} did not come at all: "
            "the source's pages seem to shift while they are read."
        )
        yield Hold("unstable-pages", name, reason, lost, known, "removals")
    elif pages_move and count.total is None and _passes(count.repeated, limits.repeated, 0, count.distinct):
        reason = (
            f"{count.repeated} {name} came on more than one page, and the source does not say how many it has: "
            "new ones may not have come at all."
        )
        yield Hold("unstable-pages", name, reason, count.repeated, known)
    if _passes(min(lost, count.added), limits.rekeyed, limits.at_least, known):
        reason = f"{lost} of {known} {name} would disappear and {count.added} new ones appear: all ids seem to be new."
        yield Hold("ids-changed", name, reason, lost, known)
    elif _passes(lost, limits.removed, limits.at_least, known):
        reason = f"{lost} of {known} {name} would be removed {_percent(lost, known, limits.removed)}."
        yield Hold("many-removed", name, reason, lost, known, "removals")
    if _passes(count.changed, limits.changed, limits.at_least, known):
        reason = f"{count.changed} of {known} {name} would be changed {_percent(count.changed, known, limits.changed)}."
        yield Hold("many-changed", name, reason, count.changed, known)
    if known and _passes(count.added, limits.added, limits.added_at_least, known):
        reason = f"{count.added} {name} would be added to {known} {_percent(count.added, known, limits.added)}."
        yield Hold("many-added", name, reason, count.added, known)
    if _passes(count.unmapped, limits.unmapped, limits.at_least, count.mapped):
        reason = (
            f"{count.unmapped} values in {count.mapped} {name} have no line in their crosswalk "
            f"{_percent(count.unmapped, count.mapped, limits.unmapped)}."
        )
        yield Hold("many-unmapped", name, reason, count.unmapped, count.mapped)


def effects(found: Effects, guards: Guards) -> list[Hold]:
    """Reasons to wait that show only when everything is resolved: one course that is gone takes its classes and
    their enrollments with it; a class goes on without its students; people are not recognised any more."""
    return [
        *_unpublished(found, guards),
        *_emptied(found, guards),
        *_unmatched(found, guards),
        *_confused(found),
    ]


def _unpublished(found: Effects, guards: Guards) -> Iterable[Hold]:
    for kind, moved in found.published.items():
        lost = moved.get("removed", 0) - found.ended.get(kind, 0)
        known, limits = found.known.get(kind, 0), guards.of(kind)
        # A key that changed at the source removes one entity and adds another: only the loss counts.
        if _passes(lost, limits.removed, limits.at_least, known) and lost > moved.get("added", 0):
            entries = f"{kind.replace('_', ' ')} entries"
            reason = f"{lost} of {known} published {entries} would disappear, with what they depend on."
            yield Hold("many-unpublished", kind, reason, lost, known, "removals")


def _emptied(found: Effects, guards: Guards) -> Iterable[Hold]:
    limits = guards.of("class")
    emptied = [
        one for one in found.shrunk if one.had >= limits.shrunk_from and one.had - one.has > limits.shrunk * one.had
    ]
    if emptied:
        lost = sum(one.had - one.has for one in emptied)
        reason = f"{len(emptied)} classes that go on would lose most of their students, {lost} in all."
        yield Hold("class-emptied", "class", reason, lost, sum(one.had for one in emptied), "removals")


def _unmatched(found: Effects, guards: Guards) -> Iterable[Hold]:
    limits = guards.of("person")
    more = found.unmatched - found.unmatched_before
    # Who is not matched is not published: only where people were recognised before, more strangers are a sign.
    if found.people and _passes(more, limits.unmatched, limits.at_least, found.people):
        reason = (
            f"{more} people more than before match nobody in the system of record; {found.people} were recognised "
            f"{_percent(more, found.people, limits.unmatched)}."
        )
        yield Hold("many-unmatched", "person", reason, more, found.people)
    # Before anybody is published, nobody can be recognised: they wait, and are when the roster comes.
    anybody = found.known.get("person", 0)
    if limits.recognised and anybody and _passes(found.strangers, 1 - limits.recognised, limits.at_least, found.named):
        known = found.named - found.strangers
        reason = (
            f"{known} of {found.named} students are recognised ({100 * known / found.named:.0f} %; at least "
            f"{100 * limits.recognised:.0f} % must be)."
        )
        if found.by:
            by = ", ".join(f"{n} by {system}" for system, n in found.by[:SHOWN])
            reason += f" Their numbers recognise {by}."
        if found.zeros:
            reason += f" {found.zeros} more would be, if leading zeros did not count: somewhere they were lost."
        yield Hold("match-rate-low", "person", reason, found.strangers, found.named)


def _confused(found: Effects) -> Iterable[Hold]:
    """One student is enough: a plan would be shown under another child's name."""
    confused, people = found.confused, found.known.get("person", 0)
    for n, kind, reason in (
        (confused.one_number, "person", "{n} students would have a number that another student has."),
        (confused.swapped, "person", "{n} students would get the name and birth date that another student had."),
        (confused.results, "assessment_result", "{n} results would change from one student to another."),
    ):
        if people and n:
            yield Hold("students-confused", kind, reason.format(n=n), n, found.known.get(kind, 0))


def _passes(n: int, share: float, at_least: int, known: int) -> bool:
    return n > max(at_least, share * known)


def _percent(n: int, known: int, share: float) -> str:
    return f"({100 * n / max(known, 1):.0f} %; the limit is {100 * share:.0f} %)"
