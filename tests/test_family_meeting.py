"""A family meeting at the command line of a district that has nothing but a roster, from the draft to the print."""

import json
from datetime import UTC, datetime, time
from typing import Any

import pytest
from sqlalchemy import text

from gateway import clock, jobs
from gateway.schema.plan import last_urgent_day
from tests.pdfs import Pdf
from tests.test_print_commands import Desk, desk
from tests.test_printing import page

__all__ = ["desk"]
STATEMENT = "Queremos que ella cuente los cuentos en casa."


async def edited(desk: Desk, **more: Any) -> None:
    """As somebody does it: what `plan show` prints, changed, goes back by `plan edit`."""
    content = json.loads(await desk.type("show", desk.plan)) | more
    file = desk.folder / "plan.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    await desk.type("edit", desk.plan, "--file", str(file))


async def refusal(desk: Desk) -> tuple[str, list[str]]:
    """The guard that refuses to finalize, and what is missing."""
    said = await desk.type("finalize", desk.plan, "--json", code=6)
    assert (await desk.type("show", desk.plan)).count("finalized") == 0
    return said["error"], said["missing"]


async def translated(desk: Desk) -> None:
    """A person translates all but the support; then the words of the goal change."""
    file = desk.folder / "spa.json"
    await desk.type("translate", desk.plan, "--language", "spa", "--file", str(file), "--template")
    lines = json.loads(file.read_text(encoding="utf-8"))
    for name, line in lines.items():
        line["text"] = "" if name == "support-1" else f"[es] {line['original']}"
    file.write_text(json.dumps(lines), encoding="utf-8")
    given = ("--language", "spa", "--file", str(file), "--translator", "Inés Robledo")
    await desk.type("translate", desk.plan, *given)
    await edited(desk, goals=goals(await desk.content(), "Tells a long story to the class."))


def goals(content: dict[str, Any], statement: str) -> list[dict[str, Any]]:
    return [content["goals"][0] | {"statement": statement}]


async def test_a_family_meeting_from_the_spanish_draft_to_the_finalized_plan(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    father, mother = desk.people["Ignatz"], desk.people["Dorothea"]
    await translated(desk)
    draft = desk.folder / "borrador.html"
    printed = await desk.type("print", desk.plan, "--language", "spa", "--to", str(draft), "--json")
    read = page(draft.read_bytes())
    assert printed["lines_not_translated"] == 2
    assert len([a for a, _ in read.of("strong") if a.get("class") == "note"]) == 2
    await desk.type("consult", desk.plan)

    # In the room one goal changes. The father has a `yes` of the feed, and the district's own `no`.
    async with desk.store.transaction(desk.district) as c:
        said = await c.execute(
            text(
                'UPDATE entity SET doc = CAST(CAST(doc AS jsonb) || \'{"education_rights": "yes"}\' AS json) '
                "WHERE kind = 'relationship' AND doc->>'contact' = :father RETURNING 1"
            ),
            {"father": father},
        )
        assert said.all()
    student = desk.people["Ptolemaia"]
    held = {
        "held_on": clock.today().isoformat(), "outcome": "agreed_with_changes", "language": "spa",
        "interpreter_used": True, "shown_sha256": printed["shown_sha256"], "family_statement": STATEMENT,
        "participants": [{"who": father, "role": "parent", "education_rights": "yes"}],
        "changes": [{"item": "goal-1", "told": "Dos cuentos."}],
    }  # fmt: skip
    in_the_room = goals(await desk.content(), "Tells two stories to the class.")
    await edited(desk, goals=in_the_room, consultations=[held])
    await desk.type("check", desk.plan)  # it ends with 0: nothing is in the way
    await desk.command("family", "restrict", student, father, "--because", "Order 26/118")
    assert await refusal(desk) == ("G2a", ["/consultations/0/participants"])

    with_her = held | {"participants": [{"who": mother, "role": "parent"}]}
    await edited(desk, consultations=[with_her | {"changes": []}])
    assert await refusal(desk) == ("G2a", ["/consultations/0/changes"])
    await edited(desk, consultations=[with_her])
    assert (await desk.type("finalize", desk.plan, "--json"))["state"] == "finalized"

    paper = desk.folder / "plan.pdf"
    printed = await desk.type("print", desk.plan, "--language", "spa", "--to", str(paper), "--json")
    assert (printed["version"], printed["lines_not_translated"]) == (1, 2)
    told = " ".join(Pdf(paper.read_bytes()).text().split())
    assert "Tells two stories to the class." in told and "cuente los cuentos" in told
    async with desk.store.transaction(desk.district) as c:
        kinds = set((await c.execute(text("SELECT DISTINCT kind FROM entity"))).scalars())
    assert kinds.isdisjoint({"assessment", "assessment_result", "result"}), "a roster and nothing else"

    # The brother's support cannot wait for a meeting. Nobody holds one: on day 16 the administrators hear of it.
    first = clock.today()
    file = desk.folder / "urgent.json"
    meal = {
        "name": "A meal at noon", "kind": "basic_needs", "owner": desk.people["Ferdinand"],
        "end_on": last_urgent_day(first).isoformat(),
        "urgent": {"reason": "Came without food.", "from_on": first.isoformat()},
    }  # fmt: skip
    file.write_text(json.dumps({"supports": [meal]}), encoding="utf-8")
    begun = await desk.type("new", "--student", desk.people["Barnaby"], "--file", str(file), "--json")
    for day, kind in ((last_urgent_day(first), "urgent"), (None, "urgent-overdue")):
        day = day or clock.today().fromordinal(last_urgent_day(first).toordinal() + 1)
        monkeypatch.setattr(clock, "now", lambda day=day: datetime.combine(day, time(8), UTC))
        await jobs.tick(desk.store)
        waits = await desk.command("attention", "--json")
        assert [one["kind"] for one in waits if one["plan"] == begun["id"]] == [kind]
    assert [one["who_acts"] for one in waits if one["plan"] == begun["id"]] == ["the administrators of Fennel School"]
