"""A finalized plan of a student whom a destination knows, written and revised as its author would."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from gateway import delivery, dispatch, planning, registry
from gateway.settings import Settings
from gateway.store import deliveries, reading, registers
from gateway.store import plans as stored
from gateway.store.database import Store
from tests.destinations.world import ACTOR, WORDS, There, Words, World, classes_of
from tests.turning import carried_out


@dataclass
class Place:
    """A destination, the district that sends to it, and its students of whom no test has made a plan yet."""

    world: World
    there: There
    store: Store
    district: int
    connection: registers.Connection
    students: Iterator[tuple[str, list[str]]]
    teacher: str

    async def plan(self, words: Words = WORDS) -> "Written":
        """The finalized plan of the next student; what of it leaves is chosen."""
        student, classes = next(self.students)
        async with self.store.transaction(self.district) as c:
            choices = dict(self.world.chosen(classes))
            await deliveries.set_profile(c, self.district, self.connection.id, choices)
        made = Written(self, student, await planning.begin(self.store, self.district, student, ACTOR))
        await made.finalize(words)
        self.there.wire.forget()
        made.before = set(self.there.standing())
        return made


@asynccontextmanager
async def placed(world: World, settings: Settings, name: str) -> AsyncIterator["Place"]:
    """A new district with a connection to this destination, and its people; those with classes there come first."""
    store = await Store.open(settings)
    with world.serve() as there:
        district = await registers.district(store, f"{name}-{world.name}")
        plain, secrets = there.settings
        keeps = registry.connector(world.name).keeps_roster
        number = await registers.add_connection(
            store, district, "there", world.name, plain, secrets, ACTOR, keeps_roster=keeps
        )
        connection = await registers.connection(store, district, number)
        await world.roster(store, district, connection)
        people = await reading.entities(store, district, "person")
        teacher = next(one["id"] for one in people if one["population"] == "staff" and one.get("roles"))
        students = [
            (one["id"], await classes_of(store, district, number, one["id"]))
            for one in people
            if one["population"] == "student"
        ]
        in_classes = iter([one for one in students if one[1]] or students)
        yield Place(world, there, store, district, connection, in_classes, teacher)
    await store.close()


@dataclass
class Written:
    """A plan, and what stood at the destination before it."""

    place: Place
    student: str
    id: str
    before: set[str] = field(default_factory=set)

    async def finalize(self, words: Words) -> None:
        """Write, or write anew, put it before the family, consult, finalize."""
        await self._edit(self._content(words))
        await planning.take(self.place.store, self.place.district, self.id, "consult", ACTOR)
        async with self.place.store.transaction(self.place.district) as c:
            [*_, seen] = [one for one in await stored.events(c, self.id) if one["act"] == "shown"]
        meeting = {
            "held_on": date.today().isoformat(),
            "participants": [{"who": {"name": "Imre Halloway", "side": "family"}, "role": "guardian"}],
            "outcome": "agreed",
            "shown_sha256": seen["detail"]["shown_sha256"],
        }
        await self._edit({"consultations": [meeting]})
        await planning.take(self.place.store, self.place.district, self.id, "finalize", ACTOR)

    async def _edit(self, change: Mapping[str, Any]) -> None:
        async with self.place.store.transaction(self.place.district) as c:
            content = (await stored.load(c, self.id)).content
        for part in ("needs", "goals", "strengths", "supports"):  # they keep the ids that they were given
            for old, new in zip(content.get(part, ()), change.get(part, ()), strict=False):
                new["id"] = old["id"]
        await planning.edit(self.place.store, self.place.district, self.id, content | change, ACTOR)

    def _content(self, words: Words) -> dict[str, Any]:
        today, teacher = date.today(), self.place.teacher
        later = (today + timedelta(days=90)).isoformat()
        return {
            "coordinator": teacher,
            "next_review_on": (today + timedelta(days=60)).isoformat(),
            "strengths": [{"statement": words["strength"], "domain": "academic"}],
            "needs": [
                {"domain": "academic", "statement": words["need"], "evidence": [{"observation": "Seen in class."}]}
            ],
            "goals": [
                {
                    "domain": "academic",
                    "statement": words["goal"],
                    "addresses": ["need-1"],
                    "baseline": {"measure": "pages", "value": 1, "on": today.isoformat()},
                    "targets": [{"measure": "pages", "value": 4, "due_on": later}],
                }
            ],
            "supports": [{"name": words["support"], "kind": "tutoring", "owner": teacher, "goals": ["goal-1"]}],
        }

    async def queue(self, because: str = "") -> int:
        """A delivery that waits for its turn."""
        to = self.place.connection.name
        number, _ = await delivery.request(self.place.store, self.place.district, self.id, to, ACTOR, overwrite=because)
        return number

    async def push(self, because: str = "") -> dict[str, Any]:
        return await self.send(await self.queue(because))

    async def take_back(self) -> dict[str, Any]:
        [number] = await dispatch.request_withdrawal(
            self.place.store, self.place.district, self.id, ACTOR, "The family asked.", self.place.connection.name
        )
        return await self.send(number)

    async def send(self, number: int) -> dict[str, Any]:
        """What a worker does with a delivery, and what became of it."""
        await carried_out(self.place.store, self.place.district, number)
        return await self.outcome(number)

    async def outcome(self, number: int) -> dict[str, Any]:
        async with self.place.store.transaction(self.place.district) as c:
            return await deliveries.status(c, number)

    def there(self) -> dict[str, str]:
        """What stands there of this plan: its id -> its text."""
        return {id: text for id, text in self.place.there.standing().items() if id not in self.before}

    async def intended(self) -> int:
        """How many objects of the newest version are to stand there."""
        to = self.place.connection.name
        made = await delivery.preview(self.place.store, self.place.district, self.id, to)
        return self.place.world.alone(made.documents)

    def words(self) -> str:
        """All that stands there of this plan."""
        return " ".join(self.there().values())

    def shown(self, words: Words) -> list[str]:
        """The words that have to stand there, as they read there."""
        return [self.place.world.reads(words[part]) for part in self.place.world.shows]
