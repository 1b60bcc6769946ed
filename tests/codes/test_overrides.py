"""A district's own reading of a field: what it finds, how it counts beside the mapping's, what is refused."""

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

import msgspec
import pytest

from gateway import overrides, registry
from gateway.codes import Codes, check_overrides
from gateway.connector import Resource
from gateway.errors import ConfigError
from gateway.mapping import Claim, Crosswalks, Row
from gateway.overrides import Override, Overriding
from gateway.schema.roster import Identifier, Person

ONEROSTER = registry.connector("oneroster")
TABLES = Crosswalks({"grade": {"five": Row("five", "05", "exact")}})
MAPPED = Person(given_name="Juniper", email="old@example.org", identifiers=[Identifier("sis", "7")])


def read(expression: str, field: str, record: Any, crosswalk: str | None = None) -> tuple[Person, Sequence[Any]]:
    """The person as it is stated then, and what was missed."""
    codes = TABLES.fresh()
    applied = Overriding([Override("users", "person", field, expression, crosswalk)], "users")
    [claim] = applied.apply([Claim("person", "k", MAPPED)], json.dumps(record), codes)
    assert isinstance(claim, Claim) and isinstance(claim.values, Person)
    return claim.values, codes.missed


@pytest.mark.parametrize(
    ("expression", "field", "record", "stated"),
    [
        ("metadata.mail", "email", {"metadata": {"mail": "new@example.org"}}, "new@example.org"),
        ("metadata.mail", "email", {"metadata": {"mail": ""}}, "old@example.org"),
        ("metadata.mail", "email", {}, "old@example.org"),
        ("born", "birth_date", {"born": "2011-03-14"}, date(2011, 3, 14)),
        ("n", "username", {"n": 4711}, "4711"),
        ("on", "active", {"on": "true"}, True),
        ("langs[].code", "languages", {"langs": [{"code": "spa"}, {"code": "eng"}]}, ["spa", "eng"]),
        ("lang", "languages", {"lang": "spa"}, ["spa"]),
        (
            "n && [{system: 'state', value: n}]",
            "identifiers",
            {"n": "S-1"},
            [Identifier("state", "S-1"), Identifier("sis", "7")],
        ),
    ],
)
def test_a_field_is_what_the_expression_finds(expression: str, field: str, record: Any, stated: Any) -> None:
    values, missed = read(expression, field, record)
    assert getattr(values, field) == stated
    assert missed == []


@pytest.mark.parametrize(
    ("expression", "field", "record"),
    [
        ("born", "birth_date", {"born": "in spring"}),
        ("mails", "email", {"mails": ["a@example.org", "b@example.org"]}),
        ("mail", "email", {"mail": {"home": "a@example.org"}}),
        ("mail", "email", {"mail": True}),
        ("length(n)", "username", {"n": 5}),
    ],
)
def test_what_does_not_fit_leaves_the_field_out_and_is_listed(expression: str, field: str, record: Any) -> None:
    values, missed = read(expression, field, record)
    assert getattr(values, field) is msgspec.UNSET
    assert missed == [("override", f"person.{field}", "", "")]


def test_a_crosswalk_translates_and_what_it_does_not_know_is_missed() -> None:
    assert read("g", "grades", {"g": "Five"}, "grade")[0].grades == ["05"]
    values, missed = read("g", "grades", {"g": ["Five", "Sixth"]}, "grade")
    assert values.grades == ["05"]
    assert missed == [("unmapped", "grade", "Sixth", "")]


def test_other_kinds_and_other_collections_are_left_alone() -> None:
    one = Override("users", "person", "email", "mail")
    relationship = Claim("relationship", "k", MAPPED)
    assert Overriding([one], "users").apply([relationship], '{"mail": "x"}', TABLES.fresh()) == [relationship]
    assert not Overriding([one], "orgs")


@pytest.mark.parametrize(
    ("override", "names"),
    [
        (Override("people", "person", "email", "mail"), ["'people'", "users"]),
        (Override("users", "pupil", "email", "mail"), ["'pupil'", "person"]),
        (Override("users", "person", "mail", "mail"), ["'mail'", "email"]),
        (Override("users", "person", "grades", "g", "grades"), ["'grades'", "crosswalks list"]),
        (Override("users", "person", "email", "mail["), ["mail["]),
        (Override("users", "person", "email", "metadata"), ["all of metadata"]),
        (Override("users", "person", "email", "metadata.*"), ["all of metadata"]),
        (Override("users", "person", "username", "metadata.SSN"), ["'SSN' is never kept"]),
        (Override("users", "person", "username", "metadata.social_security_number || x"), ["never kept"]),
    ],
    ids=lambda value: value.expression if isinstance(value, Override) else "",
)
def test_an_override_that_cannot_be_used_is_refused(override: Override, names: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        check_overrides(ONEROSTER, [override])
    assert refused.value.code == "override-invalid"
    assert [name for name in names if name not in f"{refused.value.message} {refused.value.fix}"] == []


def test_two_readings_of_one_field_are_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        check_overrides(
            ONEROSTER, [Override("users", "person", "email", "a"), Override("users", "person", "email", "b")]
        )
    assert "a || b" in refused.value.fix


@pytest.mark.parametrize(
    ("expression", "members"),
    [
        ("metadata.mail", {"mail"}),
        ("email || metadata.a.b", {"a"}),
        ("[metadata.a, @.metadata.b]", {"a", "b"}),
        ("to_string(metadata.n)", {"n"}),
        ("[?metadata.a == '1'].email", {"a"}),
        ("email", set()),
    ],
)
def test_of_a_closed_object_only_what_is_read_by_name_is_kept(expression: str, members: set[str]) -> None:
    [users] = [resource for resource in ONEROSTER.resources if resource.name == "users"]
    codes = Codes(registry.mapping("oneroster"), TABLES, (Override("users", "person", "email", expression),))
    row = {
        "sourcedId": "1",
        "metadata": {"mail": "m", "a": {"b": "1"}, "b": "2", "n": 3, "lockerCombination": "planted"},
    }
    kept = json.loads(codes.edge(users)(json.dumps(row).encode())[0])
    assert set(kept.get("metadata", {})) == members
    assert ("metadata" in kept) == bool(members)


def test_a_changed_override_maps_everything_again() -> None:
    def fingerprint(*chosen: Override) -> str:
        return Codes(registry.mapping("oneroster"), TABLES, chosen).fingerprint

    one, two = Override("users", "person", "email", "a"), Override("users", "person", "phone", "b")
    assert fingerprint(one, two) == fingerprint(two, one)
    assert len({fingerprint(), fingerprint(one), fingerprint(two), fingerprint(one, two)}) == 4


def test_what_is_closed_is_not_kept_from_a_record_that_has_it_in_another_shape() -> None:
    resource = Resource("users", Person, lambda wire: "", closed=("metadata",))
    named = overrides.named_members([Override("users", "person", "email", "metadata.a")], resource)
    assert named == {("metadata", "a")}
    codes = Codes(registry.mapping("oneroster"), TABLES, (Override("users", "person", "email", "metadata.a"),))
    assert codes.edge(resource)(b'{"id":"1","metadata":["planted"]}')[0] == b'{"id":"1"}'
