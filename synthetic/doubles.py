"""The same invented people as two systems have them, and who is who in truth: what recognising people is measured by.

Each kind of pair is one that student systems are known to get wrong. A pair has no counterpart where the second
system's person is somebody whom the first does not have, however alike the two look.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from random import Random

from synthetic.names import FAMILY, GIVEN


@dataclass(frozen=True)
class Entry:
    """One person in one system. `number` is the district's student number as the system has it, `state` the state's,
    `local` the district's where it stands in another field."""

    key: str
    given: str
    family: str
    birth: str = ""
    number: str = ""
    role: str = "student"
    state: str = ""
    local: str = ""
    email: str = ""
    phone: str = ""
    sex: str = ""


@dataclass
class Doubles:
    """Two systems. `truth`: key in the second -> key in the first, None where nobody of the first is meant. `kinds`:
    key in the second -> which kind of pair it is. `linkable`: keys that exact rules must find."""

    first: list[Entry] = field(default_factory=list)
    second: list[Entry] = field(default_factory=list)
    truth: dict[str, str | None] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    linkable: set[str] = field(default_factory=set)


def doubles(seed: int, each: int) -> Doubles:
    """Two systems with so many pairs of each kind, the same for the same seed."""
    made = Doubles()
    drawing = _Drawing(Random(seed))
    for kind, pairs in KINDS.items():
        for n in range(each):
            for pair in pairs(drawing, f"{kind.replace(' ', '-')}-{n}"):
                _add(made, kind, pair)
    drawing.rng.shuffle(made.second)
    return made


@dataclass(frozen=True)
class Pair:
    """Who the first system has, who the second, and whether they are one; either may be missing."""

    first: Entry | None
    second: Entry | None
    same: bool = True
    linkable: bool = False


def _add(made: Doubles, kind: str, pair: Pair) -> None:
    if pair.first is not None and pair.first not in made.first:
        made.first.append(pair.first)
    if pair.second is None:
        return
    made.second.append(pair.second)
    made.truth[pair.second.key] = pair.first.key if pair.first is not None and pair.same else None
    made.kinds[pair.second.key] = kind
    if pair.linkable:
        made.linkable.add(pair.second.key)


@dataclass
class _Drawing:
    """Draws people; no number is drawn twice."""

    rng: Random
    drawn: int = 0

    def person(self, key: str, role: str = "student") -> Entry:
        self.drawn += 1
        sex = self.rng.choice(("female", "male"))
        born = date(2008, 1, 1) + timedelta(days=self.rng.randrange(12 * 365))
        return Entry(
            f"a-{key}",
            self.rng.choice(GIVEN[sex]),
            self.rng.choice(FAMILY),
            born.isoformat(),
            f"{self.drawn:07}",
            role,
            state=f"77{self.drawn * 7919 % 100_000_000:08}",
            local=f"{self.drawn * 31:06}",
            sex=sex,
        )

    def other(self, one: Entry) -> Entry:
        """The same person as the second system has it where all goes well: it knows the district's number only."""
        return replace(one, key="b" + one.key[1:], state="", local="")

    def typed(self, word: str) -> str:
        """A word with two letters changed over, as hurried fingers do."""
        at = self.rng.randrange(1, len(word) - 2)
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]

    def another_name(self, entry: Entry) -> str:
        return self.rng.choice([name for name in GIVEN[entry.sex] if name != entry.given])


def _plain(draw: _Drawing, key: str) -> Iterator[Pair]:
    one = draw.person(key)
    yield Pair(one, draw.other(one), linkable=True)


def _twins(draw: _Drawing, key: str) -> Iterator[Pair]:
    """One number is there, the other is missing: nothing but the given name tells them apart."""
    one = draw.person(f"{key}-1")
    two = replace(draw.person(f"{key}-2"), family=one.family, birth=one.birth, sex=one.sex)
    two = replace(two, given=draw.another_name(replace(one, sex=two.sex)))
    yield Pair(one, draw.other(one), linkable=True)
    yield Pair(two, replace(draw.other(two), number=""))


def _twins_mixed_up(draw: _Drawing, key: str) -> Iterator[Pair]:
    one, two = (pair.first for pair in _twins(draw, key))
    assert one is not None and two is not None
    yield Pair(one, replace(draw.other(one), number=two.number))
    yield Pair(two, replace(draw.other(two), number=one.number))


def _absent_twin(draw: _Drawing, key: str) -> Iterator[Pair]:
    """The second system has a twin whom the first does not have, without a number."""
    one, two = (pair.first for pair in _twins(draw, key))
    assert one is not None and two is not None
    yield Pair(one, None)
    yield Pair(None, replace(draw.other(two), number=""))


def _reused_number(draw: _Drawing, key: str) -> Iterator[Pair]:
    """The number went to somebody else after the new year; the second system has the child who left."""
    now, before = draw.person(key), draw.person(key)
    if before.given == now.given and before.family == now.family:
        before = replace(before, given=draw.another_name(before))
    yield Pair(now, replace(draw.other(before), number=now.number), same=False)


def _lost_zeros(draw: _Drawing, key: str) -> Iterator[Pair]:
    one = draw.person(key)
    yield Pair(one, replace(draw.other(one), number=one.number.lstrip("0")))


def _swapped_names(draw: _Drawing, key: str) -> Iterator[Pair]:
    one = draw.person(key)
    yield Pair(one, replace(draw.other(one), given=one.family, family=one.given, number=""))


def _typo(draw: _Drawing, key: str) -> Iterator[Pair]:
    one = draw.person(key)
    yield Pair(one, replace(draw.other(one), family=draw.typed(one.family), number=""))


def _new_family_name(draw: _Drawing, key: str) -> Iterator[Pair]:
    one = draw.person(key)
    yield Pair(one, replace(draw.other(one), family=draw.rng.choice(FAMILY), number=""))


def _birth_date_wrong(draw: _Drawing, key: str) -> Iterator[Pair]:
    """A day off, and no number."""
    one = draw.person(key)
    born = date.fromisoformat(one.birth) + timedelta(days=1)
    yield Pair(one, replace(draw.other(one), birth=born.isoformat(), number=""))


def _two_faults(draw: _Drawing, key: str) -> Iterator[Pair]:
    """A typing error in the family name and a birth date that is a day off, and no number."""
    for pair in _birth_date_wrong(draw, key):
        assert pair.second is not None
        yield replace(pair, second=replace(pair.second, family=draw.typed(pair.second.family)))


def _namesake(draw: _Drawing, key: str) -> Iterator[Pair]:
    """Another child with the same name, and a birth date of the same month."""
    one, two = draw.person(key), draw.person(key)
    born = date.fromisoformat(one.birth).replace(day=1 if one.birth[-2:] > "14" else 28)
    yield Pair(one, replace(draw.other(two), given=one.given, family=one.family, sex=one.sex, birth=born.isoformat()),
               same=False)  # fmt: skip


def _stranger(draw: _Drawing, key: str) -> Iterator[Pair]:
    yield Pair(None, draw.other(draw.person(key)))


def _by_state(draw: _Drawing, key: str) -> Iterator[Pair]:
    """The second system has the state's number only."""
    one = draw.person(key)
    yield Pair(one, replace(draw.other(one), number="", state=one.state), linkable=True)


def _state_reused(draw: _Drawing, key: str) -> Iterator[Pair]:
    """The state's number of one child beside the name and the birth date of another."""
    one, two = draw.person(f"{key}-1"), draw.person(f"{key}-2")
    yield Pair(one, None)
    yield Pair(two, replace(draw.other(two), number="", state=one.state))


def _by_local(draw: _Drawing, key: str) -> Iterator[Pair]:
    """The second system has the district's number in another field."""
    one = draw.person(key)
    yield Pair(one, replace(draw.other(one), number="", local=one.local), linkable=True)


def _local_of_a_twin(draw: _Drawing, key: str) -> Iterator[Pair]:
    one, two = (pair.first for pair in _twins(draw, key))
    assert one is not None and two is not None
    yield Pair(one, None)
    yield Pair(two, replace(draw.other(two), number="", local=one.local))


def _shared_guardian(draw: _Drawing, key: str) -> Iterator[Pair]:
    """The second system has one record of a guardian for each child."""
    one = replace(
        draw.person(key, "parent"), birth="", number="", state="", local="", email=f"{key}@families.example.org"
    )
    for child in ("1", "2"):
        yield Pair(one, replace(draw.other(one), key=f"b-{key}-{child}"))


def _parent_who_works_here(draw: _Drawing, key: str) -> Iterator[Pair]:
    """One e-mail address, and two parts: staff in one system, a parent in the other. They stay two records."""
    one = replace(draw.person(key, "teacher"), birth="", state="", local="", email=f"{key}@larkspur.example.org")
    yield Pair(one, replace(draw.other(one), role="parent", number=""), same=False)


KINDS: dict[str, Callable[[_Drawing, str], Iterator[Pair]]] = {
    "plain": _plain,
    "twins": _twins,
    "twins mixed up": _twins_mixed_up,
    "absent twin": _absent_twin,
    "reused number": _reused_number,
    "lost zeros": _lost_zeros,
    "swapped names": _swapped_names,
    "typo in a name": _typo,
    "new family name": _new_family_name,
    "birth date wrong": _birth_date_wrong,
    "two faults at once": _two_faults,
    "namesake": _namesake,
    "stranger": _stranger,
    "by the state's number": _by_state,
    "state's number reused": _state_reused,
    "by the district's number": _by_local,
    "district's number of a twin": _local_of_a_twin,
    "shared guardian": _shared_guardian,
    "parent who works here": _parent_who_works_here,
}
