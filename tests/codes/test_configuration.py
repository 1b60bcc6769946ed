"""A district's configuration as a file: written, compared, applied to another district, refused with its place."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from gateway import configuration, crosswalks
from gateway.configuration.sections import CONNECTION, DISTRICT
from gateway.errors import ConfigError
from gateway.store import codes as stored
from gateway.store import registers
from gateway.store.database import Store
from gateway.store.registers import Actor

SECRETS = {"SIS_CLIENT_SECRET": "planted-sis-secret", "ODS_SECRET": "planted-ods-secret"}
WHOLE = """
planbridge: 1
connections:
  sis:
    connector: oneroster
    settings:
      base_url: https://sis.example.org
      token_url: https://sis.example.org/token
      client_id: planner
      client_secret: env:SIS_CLIENT_SECRET
      page_size: 500
    shadow: true
    guards:
      hold_all: true
      limits: {users: {removed: 0.2, at_least: 30}}
    schedule: {cron: 0 2 * * *, zone: America/Chicago, jitter: 10m, window: 20:00-06:00, limit: 26h}
    overrides:
      - {collection: users, field: person.grades, expression: "metadata.level", crosswalk: grade}
      - {collection: users, field: person.email, expression: metadata.mail}
  ods:
    connector: edfi
    settings: {base_url: https://ods.example.org, key: planner, secret: env:ODS_SECRET}
    collect:
      meals: {purpose: Fee waivers, basis: Meal agreement of 2026}
      programs: {purpose: Which supports there are}
    delivery_profile: {program_name: Thrive, include_staff: true}
systems_of_record: {student: sis, contact: ods}
precedence:
  person.email: [ods, sis]
identity_rules:
  state-id: [State, stateId]
crosswalks:
  oneroster:
    grade:
      default: UG
      lines:
        05: "06"
        yes: {word: KG, match: broader, note: as the lower school writes it}
        none at all: {match: none}
  edfi:
    out_service:
      lines:
        tutoring: uri://d.example.org/ServiceDescriptor#Tutoring
"""


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


async def apply(store: Store, district: int, text: str, actor: Actor, *, preview: bool = False) -> dict[str, Any]:
    """The places that differ, each with what it becomes."""
    done = await configuration.apply(store, district, text, actor, preview=preview)
    return {one.place: one.after for one in done.changes}


async def refused(store: Store, district: int, text: str, actor: Actor) -> ConfigError:
    before = await configuration.exported(store, district)
    with pytest.raises(ConfigError) as error:
        await configuration.apply(store, district, text, actor)
    assert await configuration.exported(store, district) == before
    return error.value


async def test_a_whole_configuration_goes_from_district_to_district(store: Store, district: int, actor: Actor) -> None:
    assert await apply(store, district, WHOLE, actor)
    written = await configuration.exported(store, district)
    assert yaml.load(written, yaml.BaseLoader) == _expected()
    assert "planted" not in written
    twin = await registers.district(store, f"twin of {district}")
    assert await apply(store, twin, written, actor)
    assert await configuration.exported(store, twin) == written
    there = await registers.connection(store, twin, "sis")
    assert there.secrets == {"client_secret": "planted-sis-secret"}


def _expected() -> Any:
    """What is written of it: defaults left out, lists in their order, everything as text."""
    found = yaml.load(WHOLE, yaml.BaseLoader)
    found["connections"]["sis"]["overrides"].reverse()
    found["connections"]["sis"]["schedule"]["enabled"] = "true"
    found["crosswalks"] = {"edfi": found["crosswalks"]["edfi"], "oneroster": found["crosswalks"]["oneroster"]}
    return found


async def test_every_part_stands_in_the_whole_configuration() -> None:
    """So that a part that somebody adds is tested above as the others are."""
    found = yaml.load(WHOLE, yaml.BaseLoader)
    own = {key for connection in found["connections"].values() for key in connection}
    assert {one.key for one in CONNECTION} == own - {"connector", "settings"}
    assert {one.key for one in DISTRICT} == found.keys() - {"planbridge", "connections"}


async def test_a_second_time_changes_nothing(store: Store, district: int, actor: Actor) -> None:
    preview = await apply(store, district, WHOLE, actor, preview=True)
    assert await registers.connections(store, district) == []
    assert await apply(store, district, WHOLE, actor) == preview
    acts = await _acts(store, district)
    for text in (WHOLE, await configuration.exported(store, district)):
        assert await apply(store, district, text, actor) == {}
    assert await _acts(store, district) == acts


async def _acts(store: Store, district: int) -> int:
    async with store.transaction(district) as c:
        return int(await c.scalar(stored.text("SELECT count(*) FROM act")))


async def test_what_differs_is_named_place_by_place_and_only_that_is_set(
    store: Store, district: int, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await apply(store, district, WHOLE, actor)
    monkeypatch.setenv("SIS_CLIENT_SECRET", "planted-new-secret")
    text = WHOLE
    for old, new in (
        ("page_size: 500", "page_size: 200"), ("removed: 0.2", "removed: 0.3"), ("shadow: true", "shadow: false"),
        ("[ods, sis]", "[sis]"), ("[State, stateId]", "[State]"), ('05: "06"', '06: "05"'),
    ):  # fmt: skip
        text = text.replace(old, new, 1)
    changes = {
        "connections.sis.settings.page_size": 200,
        "connections.sis.settings.client_secret": "(secret)",
        "connections.sis.shadow": None,
        "connections.sis.guards.limits.users.removed": 0.3,
        "precedence.person.email": ["sis"],
        "identity_rules.state-id": ["State"],
        "crosswalks.oneroster.grade.lines.05": None,
        "crosswalks.oneroster.grade.lines.06": "05",
    }
    assert await apply(store, district, text, actor, preview=True) == changes
    assert await apply(store, district, text, actor) == changes
    assert (await registers.connection(store, district, "sis")).secrets == {"client_secret": "planted-new-secret"}
    await crosswalks.undo(store, district, None, actor)  # lines from a file are a change like any other
    undone = await apply(store, district, text, actor, preview=True)
    assert undone.keys() == {place for place in changes if place.startswith("crosswalks")}


async def test_what_the_file_does_not_name_stays(store: Store, district: int, actor: Actor) -> None:
    await apply(store, district, WHOLE, actor)
    written = await configuration.exported(store, district)
    done = await configuration.apply(store, district, "planbridge: 1\nsystems_of_record: {staff: ods}", actor)
    assert (done.left, [one.place for one in done.changes]) == (["sis", "ods"], ["systems_of_record.staff"])
    assert await configuration.exported(store, district) == written.replace(
        "  student: sis\n", "  student: sis\n  staff: ods\n"
    )


async def test_a_secret_that_is_not_set_is_reported_and_one_that_is_stored_is_kept(
    store: Store, district: int, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ODS_SECRET")
    preview = await configuration.apply(store, district, WHOLE, actor, preview=True)
    assert preview.missing == ["env:ODS_SECRET for connections.ods.settings.secret"]
    error = await refused(store, district, WHOLE, actor)
    assert (error.code, "env:ODS_SECRET" in error.message) == ("secret-missing", True)
    monkeypatch.setenv("ODS_SECRET", "planted-ods-secret")
    await apply(store, district, WHOLE, actor)
    monkeypatch.delenv("ODS_SECRET")
    again = await configuration.apply(store, district, WHOLE, actor)
    assert (again.changes, again.missing) == ([], [])
    assert (await registers.connection(store, district, "ods")).secrets == {"secret": "planted-ods-secret"}


def mistakes() -> Iterator[tuple[str, str, str, list[str]]]:
    """(what is replaced, by what, code, what the message names)"""
    invalid = "configuration-invalid"
    yield "    shadow: true", "    shadows: true", invalid, ["connections.sis.shadows", "line 12", "not known"]
    yield "planbridge: 1", "planbridge: 2", invalid, ["line 2", "planbridge"]
    yield "systems_of_record:", "system_of_record:", invalid, ["system_of_record", "not known"]
    yield "    shadow: true", "    shadow: often", invalid, ["connections.sis.shadow", "line 12", "boolean"]
    yield (
        "      hold_all: true",
        "      hold_all: true\n      hold_all: false",
        invalid,
        ["line 15", "hold_all", "twice"],
    )
    yield "{removed: 0.2,", "&a {removed: 0.2, x: *a,", invalid, ["*a"]
    yield "    shadow: true", "    shadow: [true", invalid, ["line "]
    yield "    connector: edfi\n", "", invalid, ["connections.ods.connector", "required"]
    yield (
        '        05: "06"',
        '        05: {wort: "06"}',
        invalid,
        ["crosswalks.oneroster.grade.lines.05.wort", "line 37"],
    )
    yield "connector: edfi", "connector: edfu", "connector-unknown", ["connections.ods.connector", "edfu"]
    yield "page_size: 500", "page_size: many", "settings-invalid", ["connections.sis.settings", "page_size"]
    yield "page_size: 500", "pagesize: 500", "settings-invalid", ["connections.sis.settings", "pagesize"]
    yield "env:SIS_CLIENT_SECRET", "planted-in-file", "secret-in-file", ["connections.sis.settings", "client_secret"]
    yield "removed: 0.2", "removes: 0.2", "limits-invalid", ["connections.sis.guards", "removes"]
    yield "0 2 * * *", "0 25 * * *", "cron-invalid", ["connections.sis.schedule"]
    yield "metadata.level", "metadata.level[0", "override-invalid", ["connections.sis.overrides"]
    yield "program_name: Thrive", "program: Thrive", "settings-invalid", ["connections.ods.delivery_profile", "program"]
    yield "contact: ods", "contact: lms", "connection-unknown", ["systems_of_record", "lms", "ods, sis"]
    yield "contact: ods", "pets: ods", "collection-unknown", ["systems_of_record", "pets"]
    yield "person.email: [ods", "person.mail: [ods", "field-unknown", ["precedence", "person.mail"]
    yield "state-id:", "intuition:", "rule-unknown", ["identity_rules"]
    yield "default: UG", "default: all", "crosswalk-target", ["crosswalks", "'all'", "KG"]
    yield WHOLE, "- planbridge", invalid, ["keys with values"]
    yield WHOLE, "planbridge: \x07", invalid, ["characters"]


@pytest.mark.parametrize(("old", "new", "code", "names"), list(mistakes()), ids=lambda value: str(value)[:30])
async def test_a_mistake_is_refused_with_its_place_before_anything_is_set(
    store: Store, district: int, actor: Actor, old: str, new: str, code: str, names: list[str]
) -> None:
    assert old in WHOLE
    error = await refused(store, district, WHOLE.replace(old, new, 1), actor)
    assert error.code == code, error.message
    assert [name for name in names if name not in f"{error.message} {error.fix}"] == []
    assert "planted" not in f"{error.message} {error.fix}"


async def test_a_connection_stays_the_kind_it_is(store: Store, district: int, actor: Actor) -> None:
    await apply(store, district, WHOLE, actor)
    other = WHOLE.replace("connector: edfi", "connector: oneroster").split("    delivery_profile")[0]
    error = await refused(store, district, other, actor)
    assert (error.code, "connections.ods.connector" in error.message) == ("configuration-invalid", True)


async def test_two_names_that_sound_alike_have_secrets_of_their_own(store: Store, district: int, actor: Actor) -> None:
    alike = "\n".join(
        f"""  {name}:
    connector: edfi
    settings: {{base_url: https://ods.example.org, key: planner, secret: env:{variable}}}"""
        for name, variable in (("ods-1", "ODS_SECRET"), ("ods_1", "SIS_CLIENT_SECRET"))
    )
    await apply(store, district, f"planbridge: 1\nconnections:\n{alike}\n", actor)
    text = await configuration.exported(store, district)
    assert "env:ODS_1_1_SECRET" in text and "env:ODS_1_2_SECRET" in text
