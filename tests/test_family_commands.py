"""What somebody types who knows numbers and titles, not entity ids; and what is said where nobody is meant."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway import clock
from gateway.cli.access import in_words
from gateway.settings import Settings
from gateway.store import disclosures
from gateway.store.database import Store
from tests.test_seeing import typed
from tests.village import Village, populate


@pytest.fixture
async def village(store: Store, district: int) -> Village:
    return await populate(store, district)


async def test_a_number_or_a_title_will_do(village: Village, settings: Settings) -> None:
    async def done(*words: str) -> str:
        code, said = await typed(village, settings, *words)
        assert code == 0, said
        return said

    because = ("--because", "The board.")
    members = json.loads(await done("family", "members", "N-student", "--json"))
    mother = next(one for one in members if one["id"] == village.mother)
    assert mother["education_rights"] == "unknown" and not mother["kept_away_by_the_district"]
    assert not {"given_name", "family_name", "restrictions"} & mother.keys()
    await done("family", "restrict", "N-student", village.mother, *because)
    members = json.loads(await done("family", "members", "N-student", "--json"))
    assert [one["id"] for one in members if one["kept_away_by_the_district"]] == [village.mother]
    assert "Legal hold" in await done("retention", "hold", "N-student", *because)
    await done("purposes", "set", "MAP Growth", "interim", *because, "--as", "Ottoline Farrow")
    [decided] = [one for one in json.loads(await done("purposes", "list", "--json")) if one["title"] == "MAP Growth"]
    assert (decided["id"], decided["decided"]) == (village.map, "interim")
    await done("attention", "--for", "N-teacher")


async def test_each_act_says_to_machines_what_it_did(village: Village, settings: Settings, tmp_path: Path) -> None:
    async def done(*words: str) -> dict[str, Any]:
        code, said = await typed(village, settings, *words, "--json")
        assert code == 0, said
        made = json.loads(said)
        return made if isinstance(made, dict) else {"rows": made}

    because, by = ("--because", "The board."), ("--as", "Ottoline Farrow")
    kept = await done("family", "restrict", "N-student", village.mother, *because)
    assert (kept["student"], kept["contact"], kept["restricted"]) == (village.student, village.mother, True)
    assert (await done("family", "lift", "N-student", village.mother, *because))["restricted"] is False
    asked = (await done("family", "amend", "N-student", "--by", "A", "--about", "B", "--asked", "C"))["id"]
    assert await done("family", "decide", asked, "--refuse", *because) == {"id": asked, "decision": "refused"}
    assert await done("family", "statement", asked, "--text", "No.") == {"id": asked, "statement": True}
    hold = (await done("retention", "hold", "N-student", *because))["id"]
    assert await done("retention", "lift", str(hold), *because) == {"id": hold, "lifted": True}
    assert "markdown" in await done("retention", "page")
    assert (await done("retention", "page", "--to", str(tmp_path / "page.md")))["file"] == str(tmp_path / "page.md")
    counted = await done("purposes", "set", "MAP Growth", "interim", *because, *by)
    assert counted["counts_as"] == "interim"
    assert "health" in (await done("access", "reveal", "N-student", *because, *by))["sections"]
    given = await done(
        "consents", "add", "N-student", "--by", village.mother, "--to", "organization:Club", "--section", "goals",
        "--from", "2026-01-01", "--until", "2099-01-01", *by,
    )  # fmt: skip
    assert await done("consents", "revoke", str(given["id"]), *because, *by) == {"id": given["id"], "revoked": True}
    entry = await done("record", "add", "N-student", "--text", "Reads.", *by)
    assert (await done("record", "show", "N-student", "1"))["rows"][0]["id"] == entry["id"]
    assert "$id" in await done("plan", "schema")
    assert (await done("plan", "show", village.plan))["student"] == village.student


async def test_lists_of_all_students_are_for_the_staff_and_each_look_is_on_record(
    village: Village, settings: Settings
) -> None:
    for command in ("attention", "coverage", "load"):
        for role, ended in (("guardian", 6), ("student", 6), ("partner", 6), ("teacher", 0), ("district_it", 0)):
            code, said = await typed(village, settings, command, "--role", role, "--as", "Ottoline Farrow", "--json")
            assert code == ended, said
        assert (await typed(village, settings, command, "--role", "king"))[0] == 2
    async with village.store.transaction(village.district) as c:
        acts = (await c.execute(text("SELECT detail FROM act WHERE act = 'looked-over'"))).scalars()
        assert sorted(json.loads(one)["what"] if isinstance(one, str) else one["what"] for one in acts) == [
            "attention", "attention", "coverage", "coverage", "load", "load",
        ]  # fmt: skip


async def test_a_file_for_a_translator_is_handed_out_on_record(
    village: Village, settings: Settings, tmp_path: Path
) -> None:
    file = str(tmp_path / "spa.json")
    words = ("plan", "translate", village.plan, "--language", "spa", "--file", file, "--template")
    assert (await typed(village, settings, *words))[0] == 2, "nobody says who hands it out"
    for ended in (0, 2):  # the second finds the file there, and hands out nothing
        code, said = await typed(village, settings, *words, "--translator", "Inés", "--as", "Ottoline Farrow")
        assert code == ended, said
    async with village.store.transaction(village.district) as c:
        [line] = await disclosures.of_student(c, village.student, outside=True)
    assert (line["party"], line["plan"], line["purpose"]) == ("Inés", village.plan, "service")
    assert {"goals", "health"} <= set(line["sections"])


async def test_where_nobody_is_meant_that_is_said(village: Village, settings: Settings) -> None:
    """Not that nothing waits, or that nothing was to be done."""
    for words, code in (
        (("attention", "--for", "nobody"), "person-unknown"),
        (("attention", "--for", "teacher"), "person-unknown"),
        (("attention", "--run", "99"), "run-unknown"),
        (("family", "members", "12017"), "student-unknown"),
        (("family", "restrict", "N-student", "nobody", "--because", "So."), "contact-unknown"),
        (("retention", "hold", "12017", "--because", "So."), "student-unknown"),
        (("purposes", "set", "Map", "interim", "--because", "So.", "--as", "IT"), "assessment-unknown"),
        (
            ("family", "amend", "N-student", "--by", "A", "--about", "B", "--asked", "C", "--on", "soon"),
            "time-unreadable",
        ),
    ):
        ended, said = await typed(village, settings, *words)
        assert ended == 2 and f"Code {code}," in said, said
    ended, said = await typed(village, settings, "plan", "open", "--grade", "3", "--as", "Ottoline Farrow")
    assert ended == 0 and "No student is meant" in said


def test_the_log_reads_as_sentences() -> None:
    """Also where the name of a party ends with a full stop."""
    line = {
        "at": clock.now(),
        "party": "A copy for the family.",
        "act": "read",
        "sections": ["goals"],
        "basis": "Printed.",
    }
    assert "A copy for the family was shown goals. What for:" in in_words(line | {"purpose": "planning"})
