"""By which of several numbers people are recognised: how a setting is read, and which number is the best."""

import pytest

from connectors.assessment_files.settings import AssessmentFilesSettings
from connectors.edfi.server import EdfiSettings
from gateway.connector import validated
from gateway.errors import ConfigError
from gateway.identity import Candidates, Rate, System, best

DISTRICT, STATE, LOCAL = System("District"), System("State"), System("Local")


@pytest.mark.parametrize(
    ("text", "system"),
    [
        ("District", DISTRICT),
        (" District ", DISTRICT),
        ("uri://ed-fi.org/StudentIdentificationSystemDescriptor#District", DISTRICT),
        ("District @ 255901", System("District", "255901")),
        ("uri://tx.example.org/StudentIdentificationSystemDescriptor#State @ TEA", System("State", "TEA")),
        ("Student #", System("Student #")),
        ("id@district", System("id@district")),
    ],
)
def test_a_system_is_named_by_its_word_or_its_whole_descriptor(text: str, system: System) -> None:
    assert System.read(text) == system
    assert System.read(str(system)) == system


def test_a_number_counts_by_its_system_and_where_said_by_who_assigned_it() -> None:
    number = {"system": "District", "value": "7", "assigned_by": "255901"}
    assert [System.read(text).has(number) for text in ("District", "District @ 255901", "District @ 9", "State")] == [
        True, True, False, False,
    ]  # fmt: skip
    assert not System.read("District @ 255901").has({"system": "District", "value": "7"})


def test_a_setting_names_one_or_several_or_all() -> None:
    assert Candidates.read("District") == Candidates((DISTRICT,), open=False)
    assert Candidates.read("District; State;") == Candidates((DISTRICT, STATE), open=False)
    found = Candidates.read("District; auto")
    assert (found.first, found.several, found.have(STATE)) == (DISTRICT, True, True)
    assert not Candidates.read("District").several


def test_auto_begins_with_what_is_usual_and_what_was_stored_before_stays() -> None:
    given = {"base_url": "https://edfi.example.org", "key": "k", "secret": "s"}
    for stated, kept in (("auto", "studentUniqueId; auto"), ("State", "State"), ("State; auto", "State; auto")):
        settings = validated(EdfiSettings, given | {"student_identifier": stated})
        assert settings.student_identifier == kept
        assert validated(EdfiSettings, settings.model_dump() | {"secret": "s"}).student_identifier == kept
    assert validated(EdfiSettings, given).student_identifier == "studentUniqueId"
    files = validated(AssessmentFilesSettings, {"path": "/in", "student_identifier": "auto"})
    assert files.student_identifier == "district; auto"
    with pytest.raises(ConfigError):
        validated(AssessmentFilesSettings, {"path": "/in", "student_identifier": "vendor"})


def rates(**matched: int) -> list[Rate]:
    return [Rate(System(name), 100, n) for name, n in matched.items()]


@pytest.mark.parametrize(
    ("setting", "using", "found", "chosen"),
    [
        ("District", None, rates(State=100), DISTRICT),
        ("District; State", None, rates(State=40, District=40), DISTRICT),
        ("District; State", None, rates(State=41, District=40), STATE),
        ("District; State", None, rates(Local=100, District=1), DISTRICT),
        ("District; auto", None, rates(Local=100, District=1), LOCAL),
        ("District; auto", None, rates(), DISTRICT),
        # In use: another one must be clearly better.
        ("District; State", STATE, rates(State=90, District=95), STATE),
        ("District; State", STATE, rates(State=90, District=96), DISTRICT),
        ("District; State", STATE, rates(District=100), DISTRICT),
        ("District; State", STATE, rates(), STATE),
        # In use, and no longer named.
        ("District", STATE, rates(State=100), DISTRICT),
        ("District; Local", STATE, rates(State=100, Local=1), LOCAL),
    ],
)
def test_the_best_is_used_and_stays_until_another_is_clearly_better(
    setting: str, using: System | None, found: list[Rate], chosen: System
) -> None:
    assert best(Candidates.read(setting), found, using) == chosen
