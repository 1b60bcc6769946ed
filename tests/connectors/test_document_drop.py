"""Plans as files in a folder, here and at an SFTP server: whole or not at all, and lists that agree with them."""

import asyncio
import csv
import errno
import hashlib
import io
import os
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.document_drop import CONNECTOR
from connectors.document_drop.lines import COLUMNS, Line, decoded, plan_of
from connectors.document_drop.settings import DocumentDropSettings
from connectors.document_drop.sink import DropSink, open_sink
from gateway import clock
from gateway.connector import Document, Receipt, Viewer, validated
from gateway.errors import ConfigError, PlanbridgeError, Refused, Unavailable
from gateway.http import Http, MemoryTokens
from gateway.mapping import Crosswalks, Parties
from gateway.outbox import Folder
from gateway.printing.short import short
from gateway.schema.plan import Plan
from gateway.summary import PlanProfile
from mappings.document_drop.outbound import DropProfile, outbound
from tests.pdfs import Pdf
from tests.sftp import Told, login, served
from tests.test_plans import TEACHER, whole

ONE, TWO = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))


def rows(content: bytes) -> list[list[str]]:
    """Cells, read by RFC 4180: lines end in CRLF, also the last one, and quotes are whole."""
    text = content.decode()
    assert text.endswith("\r\n") and "\n" not in text.replace("\r\n", "")
    found = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert len({len(row) for row in found}) == 1
    assert not [cell for row in found for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    return found


@dataclass
class Drop:
    """A folder that is written to, looked at from behind; `told` where an SFTP server stands before it."""

    folder: Path
    given: dict[str, Any]
    told: Told | None = None

    @asynccontextmanager
    async def opened(self, **more: Any) -> AsyncIterator[DropSink]:
        settings = validated(DocumentDropSettings, self.given | more)
        async with Http(None, tokens=MemoryTokens(), network=settings.network) as http:
            sink = await open_sink(settings, http)
            try:
                yield sink
            finally:
                await sink.close()

    async def push(self, *documents: Document, **more: Any) -> list[Receipt]:
        async with self.opened(**more) as sink:
            return [await sink.push(document) for document in documents]

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def pdfs(self) -> list[str]:
        return [name for name in self.names() if name.endswith(".pdf")]

    def unfinished(self) -> list[str]:
        return [name for name in self.names() if name.endswith(".part")]

    def manifest(self) -> dict[str, Line]:
        return {line.plan_id: line for line in decoded((self.folder / "manifest.csv").read_bytes())}

    def flags(self, name: str = "flags.csv") -> list[list[str]]:
        return rows((self.folder / name).read_bytes())


@pytest.fixture(params=["folder", "sftp"])
async def drop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Drop]:
    folder = tmp_path / "served" / "out"
    folder.mkdir(parents=True)
    if request.param == "folder":
        yield Drop(folder, {"path": str(folder)})
        return
    async with served(tmp_path / "served") as told:
        yield Drop(folder, login(told), told)


@pytest.fixture
async def remote(tmp_path: Path) -> AsyncIterator[Drop]:
    """At a server that replaces no file by another in one step."""
    folder = tmp_path / "served" / "out"
    folder.mkdir(parents=True)
    async with served(tmp_path / "served", replaces=False) as told:
        yield Drop(folder, login(told), told)


@pytest.fixture
def local(tmp_path: Path) -> Drop:
    return Drop(tmp_path, {"path": str(tmp_path)})


def document(plan: str = ONE, *, student: str = "0012345", version: int = 1, words: str = "Reads.") -> Document:
    line = {
        "student_id": student,
        "plan_id": plan,
        "version": str(version),
        "period_start": "2026-09-01",
        "period_end": "2027-06-30",
        "finalized_on": "2026-11-02",
        "next_review_on": f"2027-01-{14 + version}",
        "file": f"success-plan-{student}-{plan}-v{version}.pdf",
    }
    content = f"%PDF {words} ".encode() * 1000
    return Document("plans", {"plan": plan}, {"line": line, "pdf": {"says": [words]}}, content=lambda: content)


async def test_a_plan_lies_there_whole_with_its_line_and_its_flag(drop: Drop) -> None:
    [receipt] = await drop.push(sent := document())
    assert sent.content is not None
    content = sent.content()
    file = sent.body["line"]["file"]
    assert (receipt.status, receipt.remote_id, receipt.revision) == (201, file, hashlib.sha256(content).hexdigest())
    assert (drop.folder / file).read_bytes() == content
    assert (drop.folder / file).stat().st_mode & 0o007 == 0 or drop.told, "nobody else on this computer reads it"
    header, line = rows((drop.folder / "manifest.csv").read_bytes())
    told = dict(zip(header, line, strict=True))
    assert tuple(header) == COLUMNS
    assert told | {"updated_at": ""} == sent.body["line"] | {
        "sha256": receipt.revision,
        "updated_at": "",
        "withdrawn_on": "",
    }
    assert drop.flags() == [
        ["student_id", "has_plan", "since", "ended", "next_review_on"],
        ["0012345", "1", "2026-09-01", "2027-06-30", "2027-01-15"],
    ]
    async with drop.opened() as sink:
        assert (await sink.read_back(sent)) == {
            "line": drop.manifest()[ONE]._asdict(),
            "pdf": sent.body["pdf"],
        }
    [record] = [name for name in drop.names() if plan_of(name)]
    assert drop.names() == sorted(["flags.csv", "manifest.csv", file, record])


async def test_a_new_version_takes_the_place_of_the_old_one(drop: Drop) -> None:
    await drop.push(document(), document(TWO, student="7"))
    [receipt] = await drop.push(document(version=2, words="Reads more."))
    assert receipt.status == 200
    assert drop.pdfs() == [document(version=2).body["line"]["file"], document(TWO, student="7").body["line"]["file"]]
    assert {plan: line.version for plan, line in drop.manifest().items()} == {ONE: "2", TWO: "1"}
    assert len([name for name in drop.names() if plan_of(name)]) == 2


async def test_an_interrupted_upload_leaves_no_half_file_and_is_cleared_away_next_time(tmp_path: Path) -> None:
    folder = tmp_path / "served" / "out"
    folder.mkdir(parents=True)
    async with served(tmp_path / "served") as told:
        drop = Drop(folder, login(told), told)
        await drop.push(document(TWO, student="7"))
        before = {name: (folder / name).read_bytes() for name in drop.names()}
        told.cut_after = 1000
        with pytest.raises(Unavailable) as caught:
            await drop.push(document())
        assert caught.value.code == "sftp-unreachable"
        [half] = drop.unfinished()
        assert (folder / half).stat().st_size == 1000
        assert {name: (folder / name).read_bytes() for name in drop.names() if name != half} == before
        told.cut_after = None
        await drop.push(document())
    assert drop.unfinished() == [] and set(drop.manifest()) == {ONE, TWO}


async def test_what_anybody_left_unfinished_long_ago_is_cleared_away(local: Drop) -> None:
    old, new = (f".planbridge-{n:016x}-manifest.csv.part" for n in (1, 2))
    theirs = "somebody.part"
    for name, hours in ((old, 2), (new, 0), (theirs, 2)):
        (local.folder / name).write_bytes(b"half")
        then = (datetime.now(UTC) - timedelta(hours=hours)).timestamp()
        os.utime(local.folder / name, (then, then))
    await local.push(document())
    assert local.unfinished() == sorted([new, theirs])


async def test_a_server_that_replaces_nothing_is_served_too(remote: Drop) -> None:
    await remote.push(document())
    await remote.push(document(version=2), document(TWO, student="7"))
    assert {plan: line.version for plan, line in remote.manifest().items()} == {ONE: "2", TWO: "1"}
    assert len(remote.flags()) == 3 and remote.unfinished() == []


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("dies_at", ["record-", "manifest.csv", "flags.csv"])
async def test_a_crash_between_pdf_and_lists_is_made_good(
    local: Drop, dies_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the same delivery when it comes again; and once there is a record, by whoever comes next. A list never names a
    file that is not there."""
    await local.push(document(version=1))
    write = Folder.write

    async def dying(self: Folder, name: str, content: bytes) -> None:
        if name.startswith(dies_at):
            raise Killed
        await write(self, name, content)

    monkeypatch.setattr(Folder, "write", dying)
    with pytest.raises(Killed):
        await local.push(document(version=2))
    monkeypatch.undo()
    line = local.manifest()[ONE]
    assert (local.folder / line.file).exists() and line.version == ("2" if dies_at == "flags.csv" else "1")
    await local.push(document(TWO, student="7"))
    assert {plan: line.version for plan, line in local.manifest().items()} == {
        ONE: "1" if dies_at == "record-" else "2",
        TWO: "1",
    }
    await local.push(document(version=3))
    assert {plan: line.version for plan, line in local.manifest().items()} == {ONE: "3", TWO: "1"}
    assert len(local.pdfs()) == 2 and len(local.flags()) == 3
    assert len([name for name in local.names() if plan_of(name)]) == 2


async def test_a_withdrawal_takes_what_no_record_names(local: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process died after the PDF, and the plan is taken back before it is tried again."""
    monkeypatch.setattr(DropSink, "_put", None)
    with pytest.raises(TypeError):
        await local.push(document())
    monkeypatch.undo()
    assert len(local.pdfs()) == 1
    async with local.opened() as sink:
        assert (await sink.delete(replace(document(), body={}, content=None))).delivered
    assert local.names() == []


async def test_many_at_once_leave_lists_that_agree(drop: Drop) -> None:
    """Each worker opens the folder for itself; one takes a plan back meanwhile."""
    plans = [document(str(uuid.UUID(int=n)), student=f"{n}") for n in range(1, 7)]
    await drop.push(plans[0])

    async def withdraw() -> None:
        async with drop.opened() as sink:
            await sink.delete(replace(plans[0], body={}, content=None))

    await asyncio.gather(withdraw(), *(drop.push(one) for one in plans[1:]))
    lines = drop.manifest()
    assert set(lines) == {one.key["plan"] for one in plans}
    assert [line.student_id for line in lines.values() if line.withdrawn_on] == ["1"]
    assert {row[0]: row[1] for row in drop.flags()[1:]} == {f"{n}": "0" if n == 1 else "1" for n in range(1, 7)}
    assert drop.unfinished() == [] and len(drop.pdfs()) == 5


async def test_the_lists_are_written_once_for_all_that_go_side_by_side(
    drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand plans would else write ten thousand lists of ten thousand lines. One that cannot be drawn holds
    nobody up; and nobody is answered before the lists name what was put there."""
    plans = [document(str(uuid.UUID(int=n)), student=f"{n}") for n in range(1, 13)]
    plans[5] = replace(plans[5], content=unprintable)
    await drop.push(document(plans[0].key["plan"], student="1"))
    written, listed, there = Counter[str](), Counter[str](), set[str]()
    write, lying = Folder.write, Folder.lying

    async def counting(self: Folder, name: str, content: bytes) -> None:
        written[name] += 1
        await write(self, name, content)

    async def looking(self: Folder) -> Any:
        listed["folder"] += 1
        return await lying(self)

    monkeypatch.setattr(Folder, "write", counting)
    monkeypatch.setattr(Folder, "lying", looking)
    async with drop.opened() as sink:

        async def push(one: Document) -> Receipt:
            receipt = await sink.push(one)
            if receipt.delivered:
                there.add(drop.manifest()[one.key["plan"]].plan_id)
            return receipt

        receipts = await asyncio.gather(*map(push, plans))
    assert [one.status for one in receipts] == [200, *[201] * 4, 422, *[201] * 6]
    assert there == {one.key["plan"] for one in plans if one is not plans[5]} == set(drop.manifest())
    assert len(drop.flags()) == 12 and drop.unfinished() == []
    assert (written["manifest.csv"], written["flags.csv"]) == (1, 1)
    assert listed["folder"] <= 3  # what is there, and before and after the lists


async def test_nobody_is_delivered_whose_lists_could_not_be_written(
    local: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are sent again, and found; the next round is another one."""
    write = Folder.write

    async def full(self: Folder, name: str, content: bytes) -> None:
        if name == "manifest.csv":
            raise Unavailable("outbox-failed", "No room.")
        await write(self, name, content)

    plans = [document(str(uuid.UUID(int=n)), student=f"{n}") for n in range(1, 5)]
    async with local.opened() as sink:
        monkeypatch.setattr(Folder, "write", full)
        failed = await asyncio.gather(*map(sink.push, plans), return_exceptions=True)
        assert [getattr(one, "code", "") for one in failed] == ["outbox-failed"] * 4
        monkeypatch.undo()
        gone = asyncio.create_task(sink.push(plans[0]))
        others = [asyncio.create_task(sink.push(one)) for one in plans[1:]]
        await asyncio.sleep(0)
        gone.cancel()  # whoever is stopped holds nobody up
        receipts = await asyncio.gather(*others)
    assert [(one.status, one.adopted) for one in receipts] == [(200, True)] * 3
    assert len(local.manifest()) == 4, "the record of the fourth lies there from the first time"


def unprintable() -> bytes:
    raise Refused("print-letters", "No font has this letter.")


async def test_a_lost_update_is_seen_by_whoever_wrote_last(local: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our reading of the manifest and our writing of it another worker writes its own."""
    write, once = Folder.write, [document(TWO, student="7")]

    async def beaten(self: Folder, name: str, content: bytes) -> None:
        if name == "manifest.csv" and once:
            await local.push(once.pop())
        await write(self, name, content)

    monkeypatch.setattr(Folder, "write", beaten)
    await local.push(document())
    assert set(local.manifest()) == {ONE, TWO} and len(local.flags()) == 3


async def test_withdrawn_is_gone_and_the_lists_say_so_for_a_while(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    [sent, other] = await drop.push(document(), document(TWO, student="7"))
    bare = replace(document(), body={}, content=None)
    for _ in range(2):  # safe to repeat
        async with drop.opened() as sink:
            sink.know(bare, sent.remote_id)
            assert (await sink.delete(bare)).delivered
            assert await sink.read_back(bare) is None
    assert drop.pdfs() == [other.remote_id]
    line = drop.manifest()[ONE]
    assert (line.student_id, line.withdrawn_on) == ("0012345", clock.today().isoformat())
    assert (line.file, line.sha256, line.next_review_on, line.finalized_on) == ("", "", "", "")
    assert drop.flags()[1] == ["0012345", "0", "2026-09-01", clock.today().isoformat(), ""]
    later = clock.today() + timedelta(days=31)
    monkeypatch.setattr(clock, "today", lambda: later)
    await drop.push(document(TWO, student="7", version=2))
    assert set(drop.manifest()) == {TWO} and len(drop.flags()) == 2
    assert not [name for name in drop.names() if ONE in name]


async def test_what_was_withdrawn_can_be_sent_again(local: Drop) -> None:
    await local.push(document())
    async with local.opened() as sink:
        await sink.delete(document())
        await sink.push(document())
    assert local.manifest()[ONE].withdrawn_on == "" and local.pdfs() == [document().body["line"]["file"]]
    assert local.flags()[1][1] == "1"


async def test_another_file_in_the_place_of_ours_is_seen(drop: Drop) -> None:
    [sent] = await drop.push(document())
    async with drop.opened() as sink:
        sink.know(document(), sent.remote_id)
        assert not await sink.edited(document(version=2), sent.revision)
        (drop.folder / sent.remote_id).write_bytes(b"%PDF somebody else's")
        assert await sink.edited(document(version=2), sent.revision)
        assert (await sink.read_back(document()) or {})["pdf"] == {}
        (drop.folder / sent.remote_id).unlink()
        assert not await sink.edited(document(version=2), sent.revision)
        assert await sink.read_back(document()) is None


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b'student_id\r\n"open', b"a,b\r\n1,2\r\n"])
async def test_a_manifest_that_somebody_spoilt_is_made_anew_from_the_records(local: Drop, damage: bytes) -> None:
    await local.push(document())
    (local.folder / "manifest.csv").write_bytes(damage)
    await local.push(document(TWO, student="7"))
    assert set(local.manifest()) == {ONE, TWO}


async def test_flags_are_laid_out_as_the_import_wants_them(local: Drop) -> None:
    sent = [document(), document(TWO, student="0012345", version=3)]
    sent[1].body["line"]["period_start"] = "2027-09-01"
    await local.push(*sent, flags="infinite_campus")
    assert local.flags() == [
        ["studentNumber", "flag", "startDate", "endDate", "reviewDate"],
        ["0012345", "1", "09/01/2027", "06/30/2027", "01/17/2027"],
    ], "a student has one line: that of the plan that began last"
    await local.push(*sent, flags="powerschool")
    assert (local.folder / "flags.txt").read_bytes() == (
        b"Student_Number\tsuccess_plan\tsuccess_plan_review\r\n0012345\t1\t01/17/2027\r\n"
    )
    await local.push(*sent, flags="powerschool_autocomm", flag_columns="A=student, B=version, C=flag", flag_on="Y")
    assert (local.folder / "flags.txt").read_bytes() == b"0012345\t3\tY\r\n"


@pytest.mark.parametrize(
    "wrong",
    [
        {"file_name": "{student}.pdf"},
        {"file_name": "../{plan}.pdf"},
        {"file_name": "{plan}/x.pdf"},
        {"file_name": "{plan.__class__}.pdf"},
        {"file_name": "-{plan}.pdf"},
        {"file_name": "{plan}.txt"},
        {"flag_columns": "=cmd()=student"},
        {"flag_columns": "A=name"},
        {"flag_on": "=1"},
        {"path": "/out/*.pdf"},
        {"path": ""},
    ],
    ids=str,
)
def test_settings_that_would_go_wrong_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        validated(DocumentDropSettings, {"path": "/out"} | wrong)
    assert caught.value.code == "settings-invalid"


@pytest.mark.parametrize(("number", "code"), [(errno.EROFS, "outbox-folder"), (errno.ENOSPC, "outbox-failed")])
async def test_a_folder_that_takes_nothing_is_named_by_what_happens_next(
    local: Drop, number: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person mends rights; a full disk is tried again later. Nothing half done stays."""
    async with local.opened() as sink:

        def refuse(file: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", refuse)
        for act in (sink.check(), sink.push(document())):
            with pytest.raises(PlanbridgeError) as caught:
                await act
            assert caught.value.code == code
    assert isinstance(caught.value, ConfigError) == (number == errno.EROFS) and local.names() == []


async def test_check_tries_to_write_and_says_who_reads(drop: Drop, tmp_path: Path) -> None:
    async with drop.opened() as sink:
        first, second = await sink.check()
        assert first.ok and not second.ok and "readers" in second.fix
        assert list(await sink.audience(document())) == [Viewer("other", name="whoever can open the folder")]
    async with drop.opened(readers="the registrar") as sink:
        [only] = await sink.check()
        assert drop.told is None or [one for one in drop.told.requests if "check" in one and one.startswith("open")]
        assert only.ok and list(await sink.audience(document())) == [Viewer("staff", name="the registrar")]
    assert drop.names() == []
    drop.folder.rmdir()
    with pytest.raises(PlanbridgeError) as caught:
        async with drop.opened() as sink:
            await sink.check()
    assert caught.value.code in ("outbox-folder", "sftp-folder") and isinstance(caught.value, ConfigError)
    assert CONNECTOR.open_source is None and CONNECTOR.place == "files"


# --- what is in it -----------------------------------------------------------------------------------------------

LONG = "Aurelia-" * 12 + "Marin"
NAMES = {
    "101": LONG,
    "emoji": "Smiles \U0001f600 at maths",
    "rtl": "يقرأ القصص كل يوم",
    "signs": "A & B <i> \"q\" 'x'",
}


def parties(**more: Any) -> Parties:
    settings = validated(DocumentDropSettings, {"path": "/out"}).model_dump(mode="json")
    given = {"link": f"https://plans.example.org/plans/{ONE}", "roles": {TEACHER: "teacher"}, "version": 2}
    made = Parties(ONE, "0012345", {}, settings, finalized_on=date(2026, 3, 3), **(given | more))
    return replace(made, print=lambda profile: b"")


def printed(plan: Plan, profile: PlanProfile, people: Parties) -> Pdf:
    return Pdf(short(plan, people, profile, datetime(2026, 3, 3, 9, tzinfo=UTC)))


def squeezed(text: str) -> str:
    return "".join(text.split()).replace("\u200b", "")


def plan(**more: Any) -> Plan:
    content = whole()
    content["needs"].append({"domain": "mental_health", "statement": "plantedneed", "evidence": []})
    content["goals"].append({"domain": "mental_health", "statement": "plantedgoal", "addresses": ["need-3"]})
    content["supports"].append({"name": "plantedsupport", "kind": "health_service", "owner": TEACHER, "goals": []})
    return Plan.model_validate(content | {"title": "plantedtitle"} | more)


def test_the_pdf_says_what_the_preview_says_and_no_more() -> None:
    assert len(LONG) == 101
    strengths = [{"statement": words} for words in NAMES.values()]
    made, people = plan(strengths=strengths), parties()
    [sent], losses = outbound(made, people, DropProfile(), Crosswalks({}))
    pdf = printed(made, DropProfile(), people)
    whole_text = squeezed(pdf.text())
    for words in sent.body["pdf"]["says"]:
        if words == NAMES["rtl"]:  # its letters stand in the order in which they are drawn
            assert set(squeezed(words)) <= set(whole_text)
        elif not words.startswith("Next review"):
            assert squeezed(words.replace(": ", ":")) in whole_text, words
    assert "April27,2026" in whole_text and "0012345" in whole_text and "Version2" in whole_text
    assert "planted" not in pdf.content.decode("latin-1") + whole_text + str(sent.body)
    assert {"H1", "H2", "Document"} <= {tag.name for tag in pdf.tags} and "pdfuaid" in pdf.metadata
    assert {"/goals/1", "/supports/1", "/needs/0"} <= {loss.pointer for loss in losses}
    assert sent.body["line"]["file"] == f"success-plan-0012345-{ONE}-v2.pdf"
    assert printed(made, DropProfile(), people).content == pdf.content, "the same plan is the same file"
    assert printed(made, DropProfile(paper="a4"), people).content != pdf.content


def test_a_doorway_says_nothing_of_the_plan() -> None:
    made, people = plan(), parties()
    [sent], _ = outbound(made, people, profile := DropProfile(doorway=True), Crosswalks({}))
    assert sent.body["pdf"]["says"] == ["Student success plan", people.link]
    text = squeezed(printed(made, profile, people).text())
    assert people.link in text and "Explainsmazes" not in text and "words" not in text
    assert sent.body["line"]["next_review_on"] == sent.body["line"]["period_end"] == ""


@pytest.mark.parametrize("number", ["=1+1", "+1", "-1", "@x", "\t1", "1\n2"])
def test_a_number_that_a_spreadsheet_would_run_is_refused(number: str) -> None:
    with pytest.raises(Refused) as caught:
        outbound(plan(), replace(parties(), student=number), DropProfile(), Crosswalks({}))
    assert caught.value.code == "student-number-formula" and number.strip() not in caught.value.message


def test_a_number_leads_to_no_other_folder() -> None:
    [sent], _ = outbound(plan(), replace(parties(), student='../../etc/ü,"7'), DropProfile(), Crosswalks({}))
    assert sent.body["line"]["file"] == f"success-plan-.._2F.._2Fetc_2F_C3_BC_2C_227-{ONE}-v2.pdf"
    assert sent.body["line"]["student_id"] == '../../etc/ü,"7'


async def test_what_no_font_can_show_is_refused_before_anything_is_written(local: Drop) -> None:
    made, people = plan(strengths=[{"statement": "\U0001f9dc\U0001f3fd swims"}]), parties()
    [sent], _ = outbound(made, people, DropProfile(), Crosswalks({}))
    sent = replace(sent, content=lambda: short(made, people, DropProfile(), datetime.now(UTC)))
    [receipt] = await local.push(sent)
    assert receipt.status == 422 and "PLANBRIDGE_PRINT_FONTS" in receipt.message and "swims" not in receipt.message
    assert local.names() == []
