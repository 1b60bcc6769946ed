"""By which of its numbers a connection's people are recognised: the choice, made anew while a run is resolved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.identity import Candidates, Identifiers, Rate, System, best
from gateway.store import identifiers
from gateway.store.database import Transaction
from gateway.store.identifiers import POPULATIONS, InForce
from gateway.store.registers import Connection
from gateway.store.runs import Attempt

Place = tuple[int, str]
"""A connection and one population of its people."""


@dataclass
class Choice:
    """Which system is in force for each connection and population, and what this run made of it.

    `told`: of the run's own connection, population -> the system, the one before where it changed, and the rates.
    """

    candidates: Mapping[Place, Candidates]
    in_force: dict[Place, InForce]
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    _renumbered: set[str] = field(default_factory=set)

    def of(self, connection: int) -> Identifiers:
        """The systems of one connection's students and staff."""
        return Identifiers(self.system((connection, "student")), self.system((connection, "staff")))

    def system(self, place: Place) -> System:
        found = self.in_force.get(place)
        return found.system if found else self.candidates[place].first

    async def before_people(self, c: Transaction, attempt: Attempt, owners: Mapping[str, int]) -> None:
        """Choose for the run's own connection, whose people are about to be recognised, and put into force what
        settings say by now."""
        for place, candidates in self.candidates.items():
            connection, population = place
            was, owns = self.in_force.get(place), owners.get(population) == connection
            if connection == attempt.connection and not owns:
                await self._choose(c, attempt, place)
            elif was is None or not candidates.have(was.system):
                await self._put(c, attempt, place, InForce(candidates.first, 0, [], attempt.run), owns=owns)

    async def after_people(self, c: Transaction, attempt: Attempt, owners: Mapping[str, int]) -> None:
        """Choose again for other connections, now that the run has published whom they may name."""
        for place, candidates in self.candidates.items():
            connection, population = place
            if owners.get(population) == connection:
                continue
            if population in self._renumbered:
                await identifiers.recognise_anew(c, attempt, connection, population)
            if candidates.several and owners.get(population) == attempt.connection:
                await self._choose(c, attempt, place)
        self._renumbered.clear()

    async def _choose(self, c: Transaction, attempt: Attempt, place: Place) -> None:
        people, rates = await identifiers.rates(c, *place)
        was = self.in_force.get(place)
        system = best(self.candidates[place], rates, was.system if was else None)
        changed = was is not None and was.system != system
        since = was.since if was and not changed else attempt.run
        await self._put(c, attempt, place, InForce(system, people, rates, since), owns=False)
        if place[0] == attempt.connection and people:
            self.told[place[1]] = told(self.in_force[place]) | ({"was": str(was.system)} if was and changed else {})

    async def _put(self, c: Transaction, attempt: Attempt, place: Place, chosen: InForce, *, owns: bool) -> None:
        was = self.in_force.get(place)
        if was == chosen:
            return
        self.in_force[place] = chosen
        await identifiers.put(c, attempt, *place, chosen)
        if was is None or was.system == chosen.system:
            return
        if owns:
            self._renumbered.add(place[1])
            await identifiers.touch_people(c, place[0])
        else:
            await identifiers.recognise_anew(c, attempt, *place)


async def choice(c: Transaction, connections: Sequence[Connection]) -> Choice:
    """What the settings leave to choose from, and what is in force."""
    candidates = {
        (connection.id, population): Candidates.read(connection.settings[f"{population}_identifier"])
        for connection in connections
        for population in POPULATIONS
    }
    return Choice(candidates, await identifiers.in_force(c))


async def seen(c: Transaction, connection: int) -> dict[str, dict[str, Any]]:
    """What was last seen of a connection whose people others publish: population -> as `told`; nothing before its first
    run."""
    found = await identifiers.in_force(c)
    return {
        population: told(found[connection, population])
        for population in POPULATIONS
        if (connection, population) in found and found[connection, population].people
    }


def told(chosen: InForce) -> dict[str, Any]:
    """As it is kept with a run and shown: counts and the names of systems, nobody's number."""
    return {
        "system": str(chosen.system),
        "people": chosen.people,
        "rates": [rate.kept() for rate in chosen.rates],
    }


def recognised_by(told: Mapping[str, Any]) -> dict[str, Any]:
    """How many students each system recognises, in the words of gateway.guard.Effects."""
    rates = [Rate.of(one) for one in told.get("student", {}).get("rates", ())]
    return {
        "by": [(str(rate.system), rate.matched) for rate in rates],
        "zeros": max((rate.zeros for rate in rates), default=0),
    }


def sentences(population: str, found: Mapping[str, Any]) -> list[str]:
    """What people are told of a choice: the system, and how many each one recognises."""
    rates = [Rate.of(one) for one in found["rates"]]
    people = found["people"]
    who = "students" if population == "student" else "staff"
    said = [
        f"{who} are recognised by {found['system']}" + (f", no longer by {found['was']}." if "was" in found else ".")
    ]
    return [
        said[0][0].upper() + said[0][1:],
        *(f"  {rate.system}: {rate.matched} of {people}{_aside(rate, people)}" for rate in rates),
    ]


def _aside(rate: Rate, people: int) -> str:
    asides = []
    if rate.stated < people:
        asides.append(f"{rate.stated} have such a number")
    if rate.zeros:
        asides.append(f"{rate.zeros} more but for leading zeros")
    return f" ({', '.join(asides)})" if asides else ""
