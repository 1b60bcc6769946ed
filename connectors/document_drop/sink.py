"""How a plan is put into a folder: its PDF and its record first, then the lists of all, made anew until they agree."""

import asyncio
import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, date, timedelta
from typing import Any

from connectors.document_drop.flags import flags
from connectors.document_drop.lines import MANIFEST, Line, decoded, encoded, plan_of
from connectors.document_drop.rounds import Round, Rounds, There
from connectors.document_drop.settings import DocumentDropSettings
from gateway import clock, outbox
from gateway.connector import Document, Finding, Receipt, Viewer
from gateway.errors import Refused, Unavailable
from gateway.http import Http
from gateway.outbox import Folder

_FONTS = "Give the worker a folder of fonts that has them (PLANBRIDGE_PRINT_FONTS), and send the plan again."
MOST_ROUNDS = 8
"""How often the lists are made anew where others write them too."""
DRAWN_AT_ONCE = 2
"""Each takes a processor for a tenth of a second."""
FILES_AT_ONCE = 8
"""Servers allow a login so many open files and no more."""


async def open_sink(settings: DocumentDropSettings, http: Http) -> "DropSink":
    """The folder behind `settings`. ConfigError where it is not there; nothing is asked over HTTP."""
    stack = AsyncExitStack()
    folder = await stack.enter_async_context(outbox.opened(settings))
    return DropSink(settings, folder, stack)


class DropSink:
    """A folder, opened for writing.

    The records say what holds: one file for each plan, whose name changes with what it says. The manifest and the list
    of flags are made from them, once for all plans that are pushed side by side: none of them counts as put there
    before. Several workers may do so at once and none waits for another: a record is there before
    its writer reads the manifest, and whoever wrote a list looks again whether it says what the records say. So the
    last of them leaves it right, and what a crash left between a record and the lists is made good by whoever comes
    next.
    """

    def __init__(self, settings: DocumentDropSettings, folder: Folder, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._folder = folder
        self._stack = stack
        self._files: dict[str, str] = {}
        self._rounds = Rounds(self._look, self._agree)
        self._drawn_at_once = asyncio.Semaphore(DRAWN_AT_ONCE)
        self._files_at_once = asyncio.Semaphore(FILES_AT_ONCE)

    def know(self, document: Document, remote_id: str) -> None:
        if remote_id:
            self._files[document.name] = remote_id

    async def push(self, document: Document) -> Receipt:
        """Put the plan there in the place of what was there of it. The key is ours: the same again changes nothing."""
        plan = str(document.key["plan"])
        async with self._rounds.one() as together:
            try:
                content = await self._drawn(document)
            except Refused as error:
                return Receipt(422, message=f"{error.message} {_FONTS}")
            now = clock.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            line = Line(**document.body["line"], sha256=hashlib.sha256(content).hexdigest(), updated_at=now)
            names = await self._cleared(plan, await together.there())
            async with self._files_at_once:
                before = await self._lines(plan, names)
                await self._folder.write(line.file, content)
            await self._put(line, before, names, together)
        there = any(one.file for one in before)
        adopted = there and document.name not in self._files
        return Receipt(200 if there else 201, line.file, revision=line.sha256, adopted=adopted)

    async def edited(self, document: Document, revision: str) -> bool:
        """Whether somebody put another file in the place of ours."""
        there = await self._folder.read(self._file(document))
        return there is not None and bool(revision) and hashlib.sha256(there).hexdigest() != revision

    async def delete(self, document: Document) -> Receipt:
        """Take the PDF away. In the lists the plan stands as withdrawn for some days, since an import that adds and
        changes would else never learn of it."""
        plan = str(document.key["plan"])
        async with self._rounds.one() as together:
            names = await self._cleared(plan, await together.there())
            gone = await self._remove_files(names, but="")
            if before := await self._lines(plan, names):
                await self._put(_withdrawn(before), before, names, together)
        return Receipt(200, unchanged=not gone)

    async def read_back(self, document: Document) -> dict[str, Any] | None:
        """What the record says, with the words of the PDF where that is still the file we wrote."""
        lines = await self._lines(str(document.key["plan"]), (await self._folder.lying()).names)
        line = max(lines, key=_newest, default=None)
        content = await self._folder.read(line.file) if line and line.file else None
        if line is None or content is None:
            return None
        same = hashlib.sha256(content).hexdigest() == line.sha256
        return {"line": line._asdict(), "pdf": document.body.get("pdf", {}) if same else {}}

    async def audience(self, document: Document) -> Sequence[Viewer]:
        """A folder tells nobody who may open it: what the district says of it."""
        if self._settings.readers:
            return [Viewer("staff", name=self._settings.readers)]
        return [Viewer("other", name="whoever can open the folder")]

    async def check(self) -> Sequence[Finding]:
        """Whether the folder can be listed and written."""
        there = (await self._folder.lying()).names
        await self._folder.try_out()
        plans = len({plan_of(name) for name in there} - {""})
        found = [Finding(True, f"The folder can be read and written; {plans} plans stand in it.")]
        if not self._settings.readers:
            found.append(
                Finding(
                    False,
                    "It is not said who can open the folder, so no plan is put there, and only doorways are.",
                    "Look who may open it, and set `readers` to that.",
                )
            )
        return found

    async def close(self) -> None:
        await self._stack.aclose()

    async def _drawn(self, document: Document) -> bytes:
        assert document.content is not None
        async with self._drawn_at_once:
            return await asyncio.to_thread(document.content)

    async def _look(self) -> There:
        lying = await self._folder.lying()
        for name in lying.abandoned:
            await self._folder.remove(name)
        return There(lying)

    async def _cleared(self, plan: str, there: There) -> Sequence[str]:
        """The names of what lies there of a plan. What an earlier attempt left of it unfinished is taken away: nobody
        else writes it."""
        for name in there.unfinished.get(plan, ()):
            await self._folder.remove(name)
        return there.finished.get(plan, ())

    def _file(self, document: Document) -> str:
        return self._files.get(document.name) or str(document.body.get("line", {}).get("file", ""))

    async def _lines(self, plan: str, names: Collection[str]) -> list[Line]:
        """What the records say of a plan: one line, or two after a crash."""
        found = [name for name in names if plan_of(name) == plan]
        return [line for name in found for line in await self._recorded(name)]

    async def _recorded(self, name: str) -> list[Line]:
        return [line for line in decoded(await self._folder.read(name)) if line.record == name]

    async def _put(self, line: Line, before: Sequence[Line], names: Collection[str], together: Round) -> None:
        """The record of a plan, then the lists, and only then away with what was there of it before: `names` are those
        of then."""
        async with self._files_at_once:
            if line not in before:
                await self._folder.write(line.record, encoded([line]))
        await together.end()
        async with self._files_at_once:
            await self._remove_files(names, but=line.file)
            for old in before:
                if old != line:
                    await self._folder.remove(old.record)

    async def _remove_files(self, names: Collection[str], but: str) -> bool:
        """Away with a plan's PDFs, also with one that no record names since a crash."""
        there = [name for name in names if name.endswith(".pdf") and name != but]
        for name in there:
            await self._folder.remove(name)
        return bool(there)

    async def _agree(self) -> None:
        """Make the lists say what the records say, and look again until nothing has come in between."""
        said: set[str] = set()
        for _ in range(MOST_ROUNDS):
            records = {name for name in (await self._folder.lying()).names if plan_of(name)}
            if records == said:
                return
            written = await self._folder.read(MANIFEST)
            lines = await self._current(records, {line.record: line for line in decoded(written)})
            lists = {MANIFEST: encoded(lines)}
            if layout := self._settings.layout:
                lists[layout.name] = flags(lines, layout)
            changed = False
            for name, content in lists.items():
                there = written if name == MANIFEST else await self._folder.read(name)
                if there != content:
                    await self._folder.write(name, content)
                    changed = True
            if not changed:
                return
            said = records
        raise Unavailable(
            "outbox-busy",
            "Others write the lists of the folder without a pause.",
            "Send the plan again when the other deliveries are done.",
        )

    async def _current(self, records: Collection[str], known: Mapping[str, Line]) -> list[Line]:
        """The line of each plan: as the manifest has it where its record still bears that name, else as the record
        says. Those that were withdrawn long ago go."""
        newest: dict[str, Line] = {}
        for name in records:
            for line in [known[name]] if name in known else await self._recorded(name):
                if line.withdrawn_on and date.fromisoformat(line.withdrawn_on) < self._forgotten:
                    await self._folder.remove(name)
                else:
                    newest[line.plan_id] = max(line, newest.get(line.plan_id, line), key=_newest)
        return sorted(newest.values(), key=lambda line: (line.student_id, line.plan_id))

    @property
    def _forgotten(self) -> date:
        return clock.today() - timedelta(days=self._settings.withdrawn_days)


def _withdrawn(before: Sequence[Line]) -> Line:
    """What the lists say of a plan that is taken back: no word of what it was, and the day."""
    last = max(before, key=_newest)
    if last.withdrawn_on:
        return last
    kept = {"student_id": last.student_id, "plan_id": last.plan_id, "version": last.version}
    kept |= {"period_start": last.period_start, "period_end": last.period_end}
    blank = dict.fromkeys(("finalized_on", "next_review_on", "file", "sha256"), "")
    now = clock.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return Line(**kept, **blank, updated_at=now, withdrawn_on=clock.today().isoformat())


def _newest(line: Line) -> tuple[str, int]:
    return line.updated_at, int(line.version)
