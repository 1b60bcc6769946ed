"""Where every enrolled student stands on the way to a plan, how much each adult answers for, and whom plans reach: in
counts from which no small group can be read."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.continuity import open_supports

NO_PLAN = "no_plan"
STATES = (
    "active",
    "in_review",
    "on_hold",
    "finalized",
    "consultation",
    "draft",
    "gathering",
    "closed",
    "archived",
    "revoked",
    NO_PLAN,
)
"""A student with several plans stands where the first of these is."""
IN_FORCE = frozenset(STATES[:4])
OPEN = frozenset(STATES[:7])

Dimension = Literal["school", "language", "program"]
LACKS = ("plan", "owner", "consultation", "minutes")
SMALL = 10
"""Numbers below it are not told, nor any from which they could be computed."""
UNKNOWN = "unknown"


@dataclass(frozen=True)
class PlanFacts:
    """A plan as far as is counted. `standing`: the state of its version in force, where the next one is being written;
    `doc`: what is in force, else what is worked on; `delivered`: something of it was, lately."""

    id: str
    state: str
    standing: str | None = None
    doc: Mapping[str, Any] = field(default_factory=dict)
    delivered: bool = False

    @property
    def stands(self) -> str:
        """The state that counts: of the version in force, as long as there is one."""
        found = self.standing if self.standing in IN_FORCE else self.state
        return found if found in STATES else NO_PLAN


@dataclass(frozen=True)
class Student:
    """An enrolled student, at the main school. `languages` and `programs`: what is on record of them."""

    id: str
    school: str
    grade: str = ""
    languages: Sequence[str] = ()
    programs: Sequence[str] = ()
    plans: Sequence[PlanFacts] = ()

    @property
    def plan(self) -> PlanFacts | None:
        """The plan that counts."""
        return min(self.plans, key=lambda one: STATES.index(one.stands), default=None)

    @property
    def state(self) -> str:
        return self.plan.stands if self.plan else NO_PLAN


def counted(students: Iterable[Student]) -> dict[str, dict[str, int]]:
    """School -> state -> how many students; every student is in exactly one of them."""
    found: dict[str, dict[str, int]] = {}
    for one in students:
        at = found.setdefault(one.school, dict.fromkeys(STATES, 0))
        at[one.state] += 1
    return found


def without_adult(student: Student, here: Callable[[str], bool]) -> bool:
    """Whether the team of the student's open plan has no trusted adult who is here."""
    if student.plan is None or student.plan.stands not in OPEN:
        return False
    return not any(
        member.get("role") == "trusted_adult" and (not isinstance(who := member.get("who"), str) or here(who))
        for member in student.plan.doc.get("team", ())
    )


@dataclass
class Load:
    """What one person answers for. For planning work: it says nothing of how well it is done."""

    person: str
    open_supports: int = 0
    students: int = 0
    plans_coordinated: int = 0


def loads(students: Iterable[Student]) -> list[Load]:
    """What everybody on the roster answers for in open plans."""
    found: dict[str, Load] = {}
    for one in students:
        mine: Counter[str] = Counter()
        for plan in one.plans:
            if plan.stands not in OPEN:
                continue
            if isinstance(coordinator := plan.doc.get("coordinator"), str):
                found.setdefault(coordinator, Load(coordinator)).plans_coordinated += 1
            owners = (support.get("owner") for support in open_supports(dict(plan.doc)))
            mine.update(owner for owner in owners if isinstance(owner, str))
        for owner, supports in mine.items():
            load = found.setdefault(owner, Load(owner))
            load.open_supports += supports
            load.students += 1
    return list(found.values())


# --- whom plans reach


@dataclass(frozen=True)
class Row:
    """A group: how many students, and how many of them lack what; None where it is not told."""

    group: str
    students: int | None
    lacks: dict[str, int | None]


@dataclass(frozen=True)
class Group:
    """The same in full, for nobody's eyes."""

    students: int
    lacks: Mapping[str, int]


def lacking(student: Student, here: Callable[[str], bool]) -> set[str]:
    """What of LACKS a student does not have. Without a plan in force none of them is there."""
    plan = student.plan
    if plan is None or plan.stands not in IN_FORCE:
        return set(LACKS)
    missing = set()
    supports = list(open_supports(dict(plan.doc)))
    if not supports or not all(_answered(support.get("owner"), here) for support in supports):
        missing.add("owner")
    held = plan.doc.get("consultations", ())
    if not any(one.get("outcome") != "declined_to_participate" for one in held):
        missing.add("consultation")
    if not plan.delivered:
        missing.add("minutes")
    return missing


def _answered(owner: Any, here: Callable[[str], bool]) -> bool:
    return here(owner) if isinstance(owner, str) else owner is not None


def groups_of(student: Student, dimension: Dimension) -> Sequence[str]:
    """In which groups a student is counted: one school, one language; every program. How many are in no program is not
    told: with the totals it would say how many are in several."""
    if dimension == "school":
        return (student.school,)
    if dimension == "language":
        return (student.languages[0] if student.languages else UNKNOWN,)
    return tuple(dict.fromkeys(student.programs))


def reach(
    students: Sequence[Student], dimensions: Iterable[Dimension], here: Callable[[str], bool]
) -> tuple[Row, dict[Dimension, list[Row]]]:
    """All students together, and by dimension. Nothing is told of who works with them."""
    missing = {one.id: lacking(one, here) for one in students}
    whole = _grouped(students, missing)
    by = {}
    for dimension in dimensions:
        members: dict[str, list[Student]] = {}
        for one in students:
            for group in groups_of(one, dimension):
                members.setdefault(group, []).append(one)
        groups = {group: _grouped(found, missing) for group, found in members.items()}
        by[dimension] = suppressed(groups, whole, apart=dimension != "program")
    [together] = suppressed({"all": whole}, whole)
    return together, by


def _grouped(students: Sequence[Student], missing: Mapping[str, set[str]]) -> Group:
    return Group(len(students), {what: sum(what in missing[one.id] for one in students) for what in LACKS})


def suppressed(groups: Mapping[str, Group], whole: Group, *, apart: bool = True) -> list[Row]:
    """The groups with what may be told, beside the numbers of the `whole`. Not told are groups of fewer than SMALL
    students; of a group what it lacks, all or nothing, where fewer than SMALL lack one thing, have it, or lack it with
    a plan in force; and a column in which that is so of the whole. Where the groups are `apart` and make up the whole,
    so many more are left out, the smallest first, that what is not told is no difference between the whole and the
    groups that are told. Groups that overlap need none: of them only the rest of the whole must not be small."""
    told = [what for what in LACKS if not _small(_parts(whole, what))]

    def students(group: Group) -> tuple[int, ...]:
        return (group.students,)

    def lacks(group: Group) -> tuple[int, ...]:
        return tuple(part for what in told for part in _parts(group, what))

    untold = _hidden(groups, whole, students, set(), apart=apart)
    silent = _hidden(groups, whole, lacks, untold, apart=apart)
    return [
        Row(
            name,
            None if name in untold else group.students,
            {what: None if name in silent or what not in told else group.lacks[what] for what in LACKS},
        )
        for name, group in sorted(groups.items())
    ]


def _parts(group: Group, what: str) -> tuple[int, ...]:
    """How many lack it, have it, and lack it though they have a plan in force: who has none lacks everything, so that
    this is the difference of two numbers."""
    return group.lacks[what], group.students - group.lacks[what], group.lacks[what] - group.lacks["plan"]


def _small(parts: Iterable[int]) -> bool:
    return any(0 < part < SMALL for part in parts)


def _hidden(
    groups: Mapping[str, Group],
    whole: Group,
    parts: Callable[[Group], tuple[int, ...]],
    known: Set[str],
    *,
    apart: bool,
) -> Set[str]:
    """`known`, those with small parts, and as many of the smallest others as it takes."""
    all_of_it = parts(whole)
    few = {name for name, group in groups.items() if group.students < SMALL or _small(parts(group))}
    if not apart:
        rest = {name: (w - p for w, p in zip(all_of_it, parts(group), strict=True)) for name, group in groups.items()}
        return known | few | {name for name in groups if _small(rest[name])}
    found = {*known, *few}
    others = sorted(groups.keys() - found, key=lambda name: (groups[name].students, name))
    while found and others and not _safe([parts(groups[name]) for name in found], all_of_it):
        found.add(others.pop(0))
    return found


def _safe(parts: Sequence[tuple[int, ...]], whole: tuple[int, ...]) -> bool:
    """Whether several are hidden, and no sum over them is small. Of what nobody is, every group's number is known."""
    sums = [sum(column) for column in zip(*parts, strict=True)]
    return len(parts) > 1 and all(one >= SMALL or all_of_it == 0 for one, all_of_it in zip(sums, whole, strict=True))
