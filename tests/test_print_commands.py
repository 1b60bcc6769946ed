"""Printing at the command line: a plan of a pulled roster to a file, its translation, and what stays on record."""

import asyncio
import io
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import text

from gateway import clock, planning
from gateway.cli import main
from gateway.schema.plan import Plan, texts
from gateway.settings import Settings
from gateway.store import plans as stored
from gateway.store import reading
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.pdfs import Pdf
from tests.store.school import NUMBER, School
from tests.test_printing import page

COORDINATOR = Actor("Ferdinand Oakapple", "educator")
STATEMENT = "Queremos que ella\n cuente los cuentos en casa."


@dataclass
class Desk:
    """Where somebody types: a district with one family in it, and a plan for the daughter."""

    store: Store
    settings: Settings
    district: int
    folder: Path
    plan: str
    mother: str
    people: dict[str, str]
    """Given name -> entity id."""

    async def type(self, *arguments: str, code: int = 0) -> Any:
        """What a command about plans says; it must end with `code`."""
        return await self.command("plan", *arguments, code=code)

    async def command(self, *arguments: str, code: int = 0) -> Any:
        """What any command says; it must end with `code`."""
        async with self.store.owner.begin() as c:
            name = await c.scalar(text("SELECT name FROM district WHERE id = :id"), {"id": self.district})
        environment = {"PLANBRIDGE_HOME": str(self.settings.home), "PLANBRIDGE_DISTRICT": str(name)}
        environment |= {"PLANBRIDGE_AS": COORDINATOR.name, "COLUMNS": "200"}
        if self.settings.database_url:
            environment["PLANBRIDGE_DATABASE_URL"] = str(self.settings.database_url.get_secret_value())

        def typed() -> tuple[int, str]:
            said = io.StringIO()
            with patch.dict(os.environ, environment), patch.object(sys, "argv", ["planbridge", *arguments]):
                with redirect_stdout(said), redirect_stderr(said):
                    try:
                        main()
                    except SystemExit as ended:
                        return int(ended.code or 0), said.getvalue()
            return 0, said.getvalue()

        ended, said = await asyncio.to_thread(typed)
        assert ended == code, said
        return json.loads(said) if "--json" in arguments else said

    async def content(self) -> dict[str, Any]:
        async with self.store.transaction(self.district) as c:
            return (await stored.load(c, self.plan)).content

    async def change(self, **more: Any) -> None:
        await planning.edit(self.store, self.district, self.plan, await self.content() | more, COORDINATOR)

    async def acts(self) -> list[dict[str, Any]]:
        async with self.store.transaction(self.district) as c:
            return await stored.events(c, self.plan)


@pytest.fixture
async def desk(store: Store, settings: Settings, district: int, actor: Actor, tmp_path: Path) -> AsyncIterator[Desk]:
    school = School(tmp_path / "roster", store=store, district=district, actor=actor)
    for name in ("lineItems", "results"):
        del school.files[name]  # a roster and nothing else
    await school.connect()
    await school.pull()
    people = {one["given_name"]: one for one in await reading.entities(store, district, "person")}
    id = await planning.begin(store, district, people["Ptolemaia"]["id"], COORDINATOR)
    made = Desk(
        store, settings, district, tmp_path, id, people["Dorothea"]["id"],
        {name: one["id"] for name, one in people.items()},
    )  # fmt: skip
    teacher, later = people["Ferdinand"]["id"], (clock.today() + timedelta(days=60)).isoformat()
    target = {"measure": "stories", "value": 4, "due_on": later}
    await made.change(
        coordinator=teacher,
        strengths=[{"statement": "Remembers every story."}],
        needs=[{"domain": "language", "statement": "Speaks softly.", "evidence": [{"observation": "Heard in class."}]}],
        goals=[
            {
                "domain": "language",
                "statement": "Tells a story to the class.",
                "addresses": ["need-1"],
                "baseline": {"measure": "stories", "value": 0, "on": clock.today().isoformat()},
                "targets": [target],
            }
        ],
        supports=[{"name": "Story circle", "kind": "enrichment_arts", "goals": ["goal-1"], "owner": teacher}],
        team=[{"who": teacher, "role": "teacher"}, {"who": made.mother, "role": "guardian"}],
    )
    yield made


async def test_a_family_gets_a_spanish_draft_with_two_lines_marked_and_a_finalized_plan(desk: Desk) -> None:
    filled = desk.folder / "spa.json"
    await desk.type("translate", desk.plan, "--language", "spa", "--file", str(filled), "--template")
    lines = json.loads(filled.read_text(encoding="utf-8"))
    assert list(lines) == list(texts(Plan.model_validate(await desk.content())))
    for name, line in lines.items():
        line["text"] = "" if name == "support-1" else f"[es] {line['original']}"
    filled.write_text(json.dumps(lines), encoding="utf-8")
    given = ("translate", desk.plan, "--language", "spa", "--file", str(filled))
    assert "translator-missing" in await desk.type(*given, code=2)
    await desk.type(*given, "--translator", "Inés Robledo", "--organization", "Puente")
    changed = await desk.content()
    changed["goals"][0]["statement"] = "Tells two stories to the class."
    await desk.change(goals=changed["goals"])

    file = desk.folder / "borrador.html"
    printed = await desk.type("print", desk.plan, "--language", "spa", "--to", str(file), "--json")
    assert (printed["version"], printed["lines_not_translated"], printed["left_out"]) == (None, 2, [])
    assert file.stat().st_mode & 0o777 == 0o600
    read = page(file.read_bytes())
    assert read.of("html")[0][0]["lang"] == "es" and read.texts("title")[0].startswith("BORRADOR: [es] ")
    assert len([a for a, _ in read.of("strong") if a.get("class") == "note"]) == 2
    english = [text for a, text in read.of("span") if a.get("lang") == "en"]
    assert {"Tells two stories to the class.", "Story circle"} <= set(english)
    assert "Una reunión con la familia" in read.texts("li")
    assert "Inés Robledo" in read.texts("body")[0] and "Ptolemaia Vexwood" in read.texts("dd")
    assert NUMBER not in file.read_text(encoding="utf-8")

    # What the family was shown is what the consultation refers to.
    await desk.type("consult", desk.plan)
    [shown] = [act["detail"]["shown_sha256"] for act in await desk.acts() if act["act"] == "shown"]
    assert shown == printed["shown_sha256"] and shown in read.texts("footer")[0]
    held = {
        "held_on": clock.today().isoformat(),
        "participants": [{"who": desk.mother, "role": "parent"}],
        "outcome": "disagreed",
        "language": "spa",
        "interpreter_used": True,
        "shown_sha256": shown,
        "family_statement": STATEMENT,
    }
    await desk.change(consultations=[held])
    await desk.type("finalize", desk.plan)
    paper = desk.folder / "plan.pdf"
    printed = await desk.type("print", desk.plan, "--language", "es", "--paper", "a4", "--to", str(paper), "--json")
    assert (printed["version"], printed["lines_not_translated"]) == (1, 2)
    made = Pdf(paper.read_bytes())
    said = made.text()
    assert "BORRADOR" not in said and "todavía falta" not in said and b"/Lang(es)" in made.root
    assert "Queremos que ella" in said and "La familia no está de acuerdo con este plan." in said
    async with desk.store.transaction(desk.district) as c:
        assert (await stored.version(c, desk.plan, 1)).sha256 in said.replace("\u200b", "")


async def test_a_print_is_on_record_and_replaces_nothing(desk: Desk) -> None:
    file = desk.folder / "plan.html"
    said = await desk.type("print", desk.plan, "--to", str(file), "--for", "student")
    assert "the draft" in said
    [act] = [act for act in await desk.acts() if act["act"] == "printed"]
    assert act["actor"]["name"] == COORDINATOR.name
    assert {name: act["detail"][name] for name in ("version", "language", "for", "form", "left_out")} == {
        "version": None, "language": "en", "for": "student", "form": "html", "left_out": [],
    }  # fmt: skip
    before = file.read_bytes()
    assert "export-exists" in await desk.type("print", desk.plan, "--to", str(file), code=2)
    assert file.read_bytes() == before

    await desk.change(needs=[{"domain": "physical_health", "statement": "Has asthma.", "evidence": []}])
    seen_by = {("student", "author"): False, ("family", "author"): True, ("school", "nurse"): True}
    # Whoever may not read something prints it for nobody.
    seen_by |= {("school", "teacher"): False, ("family", "district_it"): False}
    for (reader, role), seen in seen_by.items():
        copy = desk.folder / f"{reader}-{role}.html"
        printed = await desk.type("print", desk.plan, "--to", str(copy), "--for", reader, "--role", role, "--json")
        assert ("health" not in printed["left_out"]) == seen == ("Has asthma." in copy.read_text(encoding="utf-8"))
    async with desk.store.transaction(desk.district) as c:
        given = await c.execute(text("SELECT party, outside, sections FROM disclosure ORDER BY id"))
        told = [(row.party, row.outside, "health" in row.sections) for row in given]
    copies = [(f"A copy for the {reader}.", reader != "school", seen) for (reader, _), seen in seen_by.items()]
    assert told == [("A copy for the student.", True, False), *copies]


WRONG = [
    (("--to", "plan.doc"), "print-form-unknown", 2),
    (("--to", "nowhere/plan.html"), "file-unwritable", 2),
    (("--to", "plan.html", "--language", "tlh"), "print-language-unknown", 2),
    (("--to", "plan.pdf", "--fonts", "nowhere"), "fonts-missing", 2),
    (("--to", "plan.html", "--version", "7"), "plan-not-finalized", 6),
    (("--to", "plan.html", "--role", "neighbor"), "role-unknown", 2),
]


async def test_what_cannot_be_printed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.folder)
    for wrong, code, ends in WRONG:
        assert code in await desk.type("print", desk.plan, *wrong, code=ends)
    assert [one.name for one in desk.folder.iterdir()] == ["roster"]
