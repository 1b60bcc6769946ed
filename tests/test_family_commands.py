"""What somebody types who knows numbers and titles, not entity ids; and what is said where nobody is meant."""

import json

import pytest

from gateway import clock
from gateway.cli.access import in_words
from gateway.settings import Settings
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
