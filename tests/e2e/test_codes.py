"""The guide's own commands, typed one after the other: a code gets its word, a custom field is read, rejects go in."""

from pathlib import Path

import pytest

from tests.codes.world import write_package
from tests.e2e.office import Office


@pytest.fixture
def sis(office: Office, tmp_path: Path) -> Office:
    write_package(tmp_path, enrolled=["student", "wizard"], districtMail=["a@example.org", "", "", "", ""])
    office.connect_files(tmp_path)
    office.pull("oneroster")
    return office


def test_a_code_gets_its_word(sis: Office) -> None:
    unmapped = sis.ask("crosswalks", "unmapped")
    assert {(one["table"], one["code"], one["records"], one["rejects"]) for one in unmapped} == {
        ("grade", "K9", 2, 0), ("grade", "Quinto", 1, 0), ("enrollment_role", "wizard", 0, 1),
    }  # fmt: skip
    line = ("oneroster", "grade", "K9", "KG")
    [preview] = sis.ask("crosswalks", "preview", *line)
    assert (preview["state"], len(preview["changes"])) == ("compared", 2)
    assert "It concerns 2 records and 0 rejects of oneroster" in sis.tell("crosswalks", "set", *line)
    assert sis.tell("crosswalks", "set", *line) == "It was so already: nothing was changed.\n"
    [own] = sis.ask("crosswalks", "list")
    assert (own["code"], own["word"], own["own"]) == ("K9", "KG", True)
    assert len(sis.ask("crosswalks", "list", "oneroster", "--all", "--table", "grade")) > 100
    [done] = sis.ask("crosswalks", "replay", "oneroster")
    assert done["counts"]["published"] == preview["counts"]["published"] == {"person": {"changed": 2}}
    sis.ask("crosswalks", "default", "oneroster", "grade", "UG")
    assert "planbridge crosswalks replay oneroster --everything" in sis.tell(
        "crosswalks", "set", "oneroster", "grade", "05", "06"
    )
    assert [change["change"] for change in sis.ask("crosswalks", "changes")] == [3, 2, 1]
    assert sis.ask("crosswalks", "undo") == {"undone": 3, "mapping": "oneroster"}
    sis.ask("crosswalks", "remove", "oneroster", "grade")
    assert len(sis.ask("crosswalks", "list")) == 1


def test_a_custom_field_is_read(sis: Office) -> None:
    mail = ("oneroster", "users", "person.email", "metadata.districtMail")
    sis.ask("overrides", "set", *mail, "--preview")
    assert sis.ask("overrides", "list") == []
    assert sis.ask("overrides", "set", *mail) == {"changed": True}
    sis.pull("oneroster")
    assert [doc["email"] for doc in sis.published("oneroster")["person"].values() if "email" in doc] == [
        "a@example.org"
    ]
    [shown] = sis.ask("overrides", "list")
    assert (shown["field"], shown["expression"], shown["left_out"]) == ("person.email", "metadata.districtMail", 0)
    sis.tell("overrides", "remove", *mail[:3])
    assert sis.ask("overrides", "list") == []
    said = sis.ask("overrides", "set", "oneroster", "users", "email", "x", code=2)
    assert said["error"] == "override-invalid" and "person.email" in said["fix"]


def test_what_was_set_aside_goes_in(sis: Office) -> None:
    [cause] = sis.ask("rejects")["set_aside"]
    assert (cause["code"], cause["records"], cause["read_differently"]) == ("unmapped-code", 1, False)
    [row] = sis.ask("rejects", "--cause", cause["cause"])["set_aside"]
    assert (row["position"], row["key"]) == ("row 3", "...t-1")
    shown = sis.ask("rejects", "show", str(row["id"]))
    assert shown["payload"]["role"] == "xxxxxx"
    assert '"role": "xxxxxx"' in sis.tell("rejects", "show", str(row["id"]))
    sis.ask("crosswalks", "set", "oneroster", "enrollment_role", "wizard", "teacher")
    assert "--all --preview" in sis.tell("rejects")
    [preview] = sis.ask("rejects", "replay", "--all", "--preview")
    assert preview["counts"]["published"] == {"enrollment": {"added": 1}}
    [done] = sis.ask("rejects", "replay", "--cause", cause["cause"])
    assert (done["state"], done["counts"]["published"]) == ("published", {"enrollment": {"added": 1}})
    assert sis.ask("rejects")["set_aside"] == []
    assert sis.ask("rejects", "show", "--waiting", "unmatched") == []
    assert sis.ask("rejects", "replay", "--all", code=2)["error"] == "cause-unknown"
    assert sis.ask("rejects", "replay", code=2)["error"] == "cause-unknown"


def test_a_configuration_is_written_changed_and_applied(sis: Office, tmp_path: Path) -> None:
    sis.ask("crosswalks", "set", "oneroster", "grade", "K9", "KG")
    file = tmp_path / "district.yaml"
    assert sis.tell("export-config") == sis.tell("export-config", str(file)) + file.read_text(encoding="utf-8")
    text = file.read_text(encoding="utf-8").replace("K9: KG", "K9: KG\n        Quinto: '05'")
    file.write_text(text, encoding="utf-8")
    wanted = [{"place": "crosswalks.oneroster.grade.lines.Quinto", "before": None, "after": "05"}]
    assert sis.ask("apply", str(file), "--preview") == {"changes": wanted, "missing": [], "left": []}
    assert "Nothing was changed yet." in sis.tell("apply", str(file), "--preview")
    assert sis.ask("apply", str(file))["changes"] == wanted
    assert sis.tell("apply", str(file)) == "It is so already: nothing changes.\n"
    file.write_text(text.replace("lines:", "liens:"), encoding="utf-8")
    assert "crosswalks.oneroster.grade.liens" in sis.ask("apply", str(file), code=2)["message"]
    assert sis.ask("apply", str(tmp_path / "nowhere"), code=2)["error"] == "file-unreadable"
    assert "cannot be written" in sis.home.run("export-config", "/proc/x", district=sis.district).stderr
