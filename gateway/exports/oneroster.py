"""The published roster of a district as a OneRoster CSV package: whole, or what changed since a run."""

import hashlib
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from connectors.oneroster import sheets
from connectors.oneroster.catalogue import Version
from connectors.oneroster.package import Package
from connectors.oneroster.sheets import Line, Note
from gateway import registry
from gateway.mapping import Crosswalks
from gateway.schema import KINDS
from gateway.store import districts, extracts, rosters
from gateway.store.database import Store, Transaction
from gateway.store.registers import Actor
from gateway.store.rosters import Entity, Since, State
from mappings.oneroster.outward import family_roles, outward

Told = Callable[[str, int], None]
"""Called now and then with a kind and how many of it were read so far."""
OFTEN = 5000

# OneRoster CSV has a file for none of them; nothing else refers to them. What is restricted is in no roster at all.
_WITHOUT_FILE = ("assessment", "assessment_result", *(kind.name for kind in KINDS.values() if kind.restricted))
_REFERRED_TO = tuple(dict.fromkeys(reference.kind for kind in KINDS.values() for reference in kind.references))
# A file and the kind that fills it. A bulk file without a line says that nothing is there any more, so what a district
# never had is absent.
_FILLED_BY = {
    "categories": "category",
    "lineItems": "line_item",
    "lineItemLearningObjectiveIds": "line_item",
    "results": "result",
    "resultLearningObjectiveIds": "result",
    "scoreScales": "score_scale",
    "lineItemScoreScales": "score_scale",
    "resultScoreScales": "score_scale",
    "resources": "resource",
    "classResources": "resource",
    "courseResources": "resource",
    "userResources": "resource",
}
_ROSTER = ("orgs", "academicSessions", "courses", "classes", "users", "roles", "enrollments")


@dataclass(frozen=True)
class Written:
    """What was written. `files`: each file of the version, how it is listed in the manifest and how many lines it has.
    `losses`: what the package does not say of what is published, or says otherwise, and how often. `run` is the last
    run whose work is in it: a later export of changes goes on from there."""

    version: Version
    files: dict[str, dict[str, Any]]
    losses: list[dict[str, Any]]
    run: int | None
    since: int | None
    sha256: str


async def export(
    store: Store,
    name: str,
    place: Path,
    actor: Actor,
    *,
    version: Version = "1.2",
    since: int | None = None,
    demographics: bool = False,
    told: Told = lambda kind, rows: None,
) -> Written:
    """Write everything that is published, or with `since` what changed since that run, to a zip or a folder.

    Ids are the entities' own. Birth dates, sex, race and ethnicity are written only with `demographics`. Memory does
    not grow with enrollments or results. ConfigError when the place is taken or cannot be written, or there is no such
    run; Refused when changes cannot be told any more.
    """
    district = await districts.named(store, name)
    async with extracts.still(store, district) as c:
        base = None if since is None else await rosters.begin(c, district, since)
        listed = () if base else await _listed(c, version, demographics)
        with Package(place, version, "Planbridge", name, delta=base is not None, listed=listed) as package:
            writing = _Writing(c, package, version, demographics, base, told)
            await writing.everything()
            package.finish()
            run = await rosters.latest_run(c)
    written = Written(
        version,
        {file: {"listed": mode, "rows": package.counts[file]} for file, mode in package.modes.items()},
        [{**note._asdict(), "count": n} for note, n in sorted(writing.notes.items())],
        run,
        since,
        _fingerprint(place),
    )
    detail = {"version": version, "since": since, "demographics": demographics, "rows": package.counts.total()}
    await districts.note_act(store, district, actor, "oneroster-export", written.sha256, detail)
    return written


async def _listed(c: Transaction, version: Version, demographics: bool) -> list[str]:
    """The files of a bulk set that are there even without a line."""
    had = await rosters.ever_had(c, list(dict.fromkeys(_FILLED_BY.values())))
    files = [*_ROSTER, *(file for file, kind in _FILLED_BY.items() if kind in had)]
    return [file for file in (*files, *(["demographics"] if demographics else [])) if file in sheets.FILES[version]]


def _fingerprint(place: Path) -> str:
    """Of the zip, or of the files of the folder one after another by name."""
    digest = hashlib.sha256()
    for path in sorted(place.iterdir()) if place.is_dir() else [place]:
        with path.open("rb") as made:
            while part := made.read(2**20):
                digest.update(part)
    return digest.hexdigest()


@dataclass(frozen=True)
class _Beside:
    """What the mapping asks of other entities; the store has read it with the entity."""

    said: dict[str, Any]

    def href(self, collection: str, id: str) -> str:
        return ""

    def children(self, kind: str, id: str) -> Sequence[str]:
        return ()

    def contacts(self, student: str) -> Sequence[str]:
        return self.said.get("contacts") or ()

    def school(self, class_: str) -> str:
        return self.said.get("school") or ""


class _Writing:
    """One export under way."""

    def __init__(
        self,
        c: Transaction,
        package: Package,
        version: Version,
        demographics: bool,
        since: Since | None,
        told: Told,
    ) -> None:
        self.notes: Counter[Note] = Counter()
        self._c = c
        self._package = package
        self._version: Version = version
        self._demographics = demographics
        self._since = since
        self._told = told
        self._codes: Crosswalks = registry.mapping("oneroster").codes()
        # Who is in no file, now and then: nothing may refer to them. Few, and of kinds that are not many.
        self._absent: set[str] = set()
        self._was_absent: set[str] = set()

    async def everything(self) -> None:
        kinds = [kind for kind in KINDS if kind not in _WITHOUT_FILE]
        for kind in kinds:
            if kind in _REFERRED_TO:
                await self._find_absent(kind)
        for kind in kinds:
            rows = 0
            async with aclosing(self._entities(kind)) as entities:
                async for entity in entities:
                    self._write(kind, entity)
                    rows += 1
                    if rows % OFTEN == 0:
                        self._told(kind, rows)
            self._told(kind, rows)
        for kind in _WITHOUT_FILE:
            if left := await rosters.count(self._c, kind, self._since):
                self.notes[Note(kind, "", "left out", "OneRoster CSV has no file for it")] += left

    async def _find_absent(self, kind: str) -> None:
        """Whose line cannot be written, before anything is written that may refer to it."""
        async with aclosing(self._entities(kind, all_of_them=True)) as entities:
            async for entity in entities:
                if entity.now and not self._lines(kind, entity.id, entity.now, entity.at, self._absent)[0]:
                    self._absent.add(entity.id)
                if entity.was and not self._lines(kind, entity.id, entity.was, entity.at, self._was_absent)[0]:
                    self._was_absent.add(entity.id)

    def _entities(self, kind: str, *, all_of_them: bool = False) -> AsyncGenerator[Entity]:
        if self._since is None:
            return rosters.standing(self._c, kind)
        # What refers to somebody who came into the package, or left it, changes with them.
        moved = self._absent != self._was_absent
        return rosters.changed(self._c, kind, self._since, all_of_them=all_of_them or moved)

    def _write(self, kind: str, entity: Entity) -> None:
        lines, notes = self._lines(kind, entity.id, entity.now, entity.at, self._absent)
        if self._since is None:
            self.notes.update(set(notes))
            for line in lines:
                self._package.put(line)
            return
        earlier, _ = self._lines(kind, entity.id, entity.was, entity.at, self._was_absent)
        was = {line[:2]: line for line in earlier}
        different = [line for line in lines if was.pop(line[:2], None) != line]
        if any(line.file == "users" for line in different):
            # Who reads a user's line alone must see what the person is: CSV 1.2 has that in roles.csv only.
            different = [line for line in lines if line.file == "roles" or line in different]
        for line in different:
            self._package.put(line, entity.at)
        for line in was.values():
            self._package.put(line, entity.at, gone=True)
        if different or not lines:
            self.notes.update(set(notes))

    def _lines(
        self, kind: str, id: str, state: State | None, at: datetime, absent: set[str]
    ) -> tuple[list[Line], list[Note]]:
        if state is None:
            return [], []
        if kind == "relationship" and absent & {state.doc["student"], state.doc["contact"]}:
            return [], [Note(kind, "", "left out", "it refers to what is left out")]
        if kind == "relationship" and (state.doc.get("restrictions") or state.doc.get("education_rights") == "no"):
            return [], [Note(kind, "", "withheld", "somebody who must be kept from a student is not named as family")]
        written = outward(kind, id, state.doc, at, _Beside(state.beside), self._codes)
        notes = [
            Note(kind, _field(loss.pointer), "lost" if loss.kind == "cannot" else "withheld", loss.reason)
            for loss in written.losses
            if (kind, loss.pointer) not in _ONLY_IN_CSV
        ]
        notes += [
            Note(gap.collection, gap.field.partition("/")[0], "filled", "nothing is known, and it may not be empty")
            for gap in written.gaps
            if gap.filled and not (self._version == "1.1" and gap.field == "roles/roleType")
        ]
        lines: list[Line] = []
        for collection, record in written.rows:
            if collection == "demographics" and not lines:  # of somebody who is left out
                continue
            if collection == "demographics" and not self._demographics:
                notes.append(Note("demographics", "", "withheld", "it is written only on demand"))
                continue
            found, said = sheets.lines(
                self._version, collection, _completed(self._version, kind, state, record, notes), absent
            )
            lines += found
            notes += said
        if not lines and notes and notes[-1].what == "left out":
            return [], notes[-1:]  # what else would have been another does not matter
        return lines, notes


# What the REST model has no field for, and CSV has a column.
_ONLY_IN_CSV = {("score_scale", "/organization")}


def _field(pointer: str) -> str:
    """`/roles/0` as `roles`: what is counted is the field."""
    return re.sub("/[0-9]+", "", pointer).removeprefix("/")


def _completed(version: Version, kind: str, state: State, record: dict[str, Any], notes: list[Note]) -> dict[str, Any]:
    """The record with what CSV demands and the entity does not tell, taken from what it belongs to."""
    if kind == "person":
        if "givenName" not in record:  # demographics
            return record
        if version == "1.1" and any("primary" in role for role in state.doc.get("roles", ())):
            notes.append(Note("users", "roles", "lost", "OneRoster 1.1 calls no role primary"))
        return _with_role(state, record, notes)
    of_class = state.beside
    wanted: dict[str, tuple[str, Any]] = {}
    if kind in ("enrollment", "line_item"):
        wanted["school"] = ("school", of_class.get("school"))
    if kind == "line_item" and not state.doc.keys() & {"session", "grading_period"}:
        field, name = ("grading_period", "gradingPeriod") if version == "1.1" else ("session", "academicSession")
        wanted[field] = (name, next(iter(of_class.get("sessions") or ()), None))
    if kind == "score_scale":
        wanted["organization"] = ("org", state.doc.get("organization") or of_class.get("school"))
        wanted["course"] = ("course", of_class.get("course"))
    made = dict(record)
    for field, (name, id) in wanted.items():
        if field in state.doc:
            continue
        made.pop(name, None)
        if id and (kind, field, version) != ("line_item", "school", "1.1"):  # where 1.1 has no column for it
            made[name] = {"sourcedId": id}
            notes.append(Note(kind, field, "filled", "it is that of the class"))
    if kind == "score_scale" and "organization" in state.doc:
        made["org"] = {"sourcedId": state.doc["organization"]}
    return made


def _with_role(state: State, record: dict[str, Any], notes: list[Note]) -> dict[str, Any]:
    """Family of whom no role is told is family at the schools of the students: OneRoster wants a role of everybody."""
    family_at = state.beside.get("family_at") or ()
    if state.beside.get("contacts") and "agents" not in record:
        notes.append(Note("person", "contacts", "lost", "only a student has agents"))
    if "roles" in state.doc or not family_at or state.doc.get("population") != "contact":
        return record
    notes.append(Note("person", "roles", "filled", "family is at the schools of its students"))
    return {**record, "roles": family_roles(family_at)}
