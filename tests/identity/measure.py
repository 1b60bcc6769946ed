"""What is measured on the labelled set: whom exact rules link, and what is proposed for the others."""

from dataclasses import asdict, dataclass
from typing import Any

from gateway import waiting
from gateway.store.database import Store
from gateway.waiting import Case
from synthetic.doubles import Doubles, doubles
from tests.identity.rosters import Person, System, denoted


@dataclass(frozen=True)
class Measured:
    """Counts of one set. A wrong link joins two people; a missed one is a pair that an exact rule must find."""

    pairs: int
    linked: int
    wrong_links: list[str]
    missed_links: list[str]
    open_pairs: int
    proposed: int
    right: int
    by_kind: dict[str, dict[str, int]]

    @property
    def precision(self) -> float:
        return self.right / max(self.proposed, 1)

    @property
    def recall(self) -> float:
        return self.right / max(self.open_pairs, 1)


async def measured(store: Store, first: System, second: System, seed: int, each: int) -> Measured:
    """Pull both systems with every rule switched on, then propose; compare with the truth."""
    made = doubles(seed, each)
    for rule, system in (("state-id", "State"), ("district-id", "Local")):
        await waiting.set_rule(store, first.district, rule, [system], first.actor)
    await first.says(*(Person(**asdict(one)) for one in made.first))
    await second.says(*(Person(**asdict(one)) for one in made.second))
    links = await denoted(store, first.district)
    before = dict(links)
    people = {links["sis", one.key]: one.key for one in made.first}
    found = {key: people[person] for (system, key), person in links.items() if system == "vendor" and person in people}
    cases, _ = await waiting.propose(store, first.district)
    assert await denoted(store, first.district) == before, "proposing links nobody"
    best = {case.key[1]: _likeliest(case, people) for case in cases}
    return _compared(made, found, best)


def _likeliest(case: Case, people: dict[str, str]) -> str:
    """Whom a case is likeliest to be; two who are equally likely are nobody, which counts as wrong."""
    highest = max(one.score or 0 for one in case.candidates)
    likely = [people[one.person] for one in case.candidates if one.score == highest]
    return likely[0] if len(likely) == 1 else "several"


def _compared(made: Doubles, found: dict[str, str], best: dict[str, str]) -> Measured:
    students = [key for key in made.truth if key not in found]
    right = [key for key, who in best.items() if made.truth[key] == who]
    kinds: dict[str, dict[str, int]] = {}
    for key, kind in made.kinds.items():
        counts = kinds.setdefault(kind, {"pairs": 0, "linked": 0, "proposed rightly": 0, "proposed wrongly": 0})
        counts["pairs"] += 1
        counts["linked"] += key in found
        counts["proposed rightly"] += key in best and best[key] == made.truth[key]
        counts["proposed wrongly"] += key in best and best[key] != made.truth[key]
    return Measured(
        pairs=len(made.truth),
        linked=len(found),
        wrong_links=sorted(key for key, who in found.items() if made.truth[key] != who),
        missed_links=sorted(made.linkable - found.keys()),
        open_pairs=sum(made.truth[key] is not None for key in students),
        proposed=len(best),
        right=len(right),
        by_kind=kinds,
    )


def as_counts(measure: Measured) -> dict[str, Any]:
    return {
        "pairs": measure.pairs,
        "linked by exact rules": measure.linked,
        "linked wrongly": len(measure.wrong_links),
        "missed by exact rules": len(measure.missed_links),
        "left open that have a counterpart": measure.open_pairs,
        "proposed": measure.proposed,
        "proposed rightly": measure.right,
        "precision of proposals": round(measure.precision, 4),
        "recall of proposals": round(measure.recall, 4),
        "by kind": measure.by_kind,
    }
