"""Running records at the command line: written, corrected, read as of, given to a group, verified; plans opened."""

import json
from pathlib import Path

from tests.e2e.conftest import installation as installation
from tests.e2e.conftest import office as office
from tests.e2e.office import Office
from tests.identity.rosters import ADA, BEN, FILLERS, write
from tests.records import SUPPORT

BY = ("--as", "Robin Example")
NOBODY = "00000000-0000-4000-8000-000000000009"


def test_a_record_from_its_first_entry_to_its_verification(office: Office, tmp_path: Path) -> None:
    write(tmp_path / "sis", [ADA, BEN, *FILLERS])
    office.ask("connect", "oneroster", "--name", "sis", "--set", f"path={tmp_path / 'sis'}", "--yes")
    office.pull("sis")

    ada = ADA.number
    assert office.ask("record", "add", ada, "--text", "Reads.", code=2)["error"] == "actor-missing"
    first = office.ask("record", "add", ada, "--text", "Reads 40 words.", "--domain", "academic", *BY)
    assert (first["seq"], first["by"], first["kind"]) == (1, "Robin Example", "observation")
    note = tmp_path / "entry.json"
    evidence = {"text": "Likes mazes.", "evidence": [{"entry": first["id"]}]}
    note.write_text(json.dumps({"kind": "student_voice", "restricted": True, "body": evidence}))
    assert office.ask("record", "add", ada, "--file", str(note), *BY)["restricted"]
    unclear = office.ask("record", "correct", ada, "1", "--because", "Miscounted.", *BY, code=2)
    assert unclear["error"] == "correction-unclear"
    office.ask("record", "correct", ada, "1", "--text", "Reads 46 words.", "--because", "Miscounted.", *BY)
    office.ask("record", "correct", ada, "2", "--withdraw", "--because", "It was Ben.", *BY)
    assert [one["says"]["text"] for one in office.ask("record", "list", ada)] == ["Reads 46 words."]
    assert [one["seq"] for one in office.ask("record", "list", ada, "--all")] == [1, 2, 3, 4]
    assert [one["seq"] for one in office.ask("record", "list", ada, "--as-of", "2")] == [1, 2]
    assert office.ask("record", "list", ada, "--as-of", "2020-01-01") == []
    assert office.ask("record", "list", ada, "--as-of", "9", code=2)["error"] == "record-unknown"
    chain = json.loads(office.tell("record", "show", ada, "1"))
    assert [one["says"]["text"] for one in chain] == ["Reads 40 words.", "Reads 46 words."]
    assert "Reads 46 words." in office.tell("record", "list", ada)

    words = ("--section", "goals", "--text", "I want to read to my brother.")
    mine = office.ask("record", "input", ada, "--by", ada, *words, *BY)
    assert (mine["kind"], mine["says"]["adds_to"], mine["by"]) == ("student_voice", "goals", "Robin Example")
    assert office.ask("record", "input", ada, "--by", BEN.number, *words, *BY, code=6)["error"] == "input-refused"
    office.ask("record", "correct", ada, "5", "--withdraw", "--because", "Said to try it.", *BY)

    office.ask("record", "forget", ada, "2", *BY, code=6)
    office.ask("record", "forget", ada, "2", "--because", "Order of a court.", *BY)
    assert "it said was removed" in json.loads(office.tell("record", "show", ada, "2"))[0]["says"]
    verified = office.ask("record", "verify")
    assert (verified["records"], verified["entries"], verified["removed"], verified["faults"]) == (1, 6, 1, [])
    assert "6 entries in 1 records" in office.tell("record", "verify", ada)

    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"supports": [SUPPORT]}))
    plans = [office.ask("plan", "new", "--student", one.number, "--file", str(file), *BY)["id"] for one in (ADA, BEN)]
    group = [part for plan in plans for part in ("--for", f"{plan}/support-1")]
    entries = office.ask("record", "session", "--minutes", "30", *group, "--except", f"{plans[1]}=student_absent", *BY)
    assert sorted(one["says"]["delivery"]["minutes"] for one in entries) == [0, 30]
    wrong = office.ask("record", "session", "--minutes", "30", *group, "--except", f"{plans[1]}=ill", *BY, code=2)
    assert wrong["error"] == "session-outcome"
    [given] = office.ask("record", "progress", plans[0])["supports"]
    assert (given["delivered"], given["sessions"]) == (30, 1)
    assert "30 of about" in office.tell("record", "progress", plans[0])

    known = {row["pointer"]: row for row in office.ask("plan", "known", plans[0])}
    assert known["/school"]["origins"][0]["connection"] == "sis"
    assert office.ask("plan", "known", NOBODY, code=2)["error"] == "plan-unknown"
    assert office.ask("plan", "open", *BY, code=2)["error"] == "selection-missing"
    dry = office.ask("plan", "open", "--school", "Fennel School", "--dry-run", *BY)
    opened = office.ask("plan", "open", "--school", "Fennel School", *BY)
    assert dry["opened"] == opened["opened"] == len(FILLERS) and opened["skipped"] == {"has a plan": 2}
    assert "0 plans were opened." in office.tell("plan", "open", "--school", "2", *BY)
    states = {plan["id"]: plan["state"] for plan in office.ask("plan", "list")}
    assert {states[one["plan"]] for one in opened["plans"]} == {"gathering"}
