"""What terms may say, what of a change widens what a vendor sees, and which reads are bulk: without a database."""

import json
from datetime import date, timedelta
from typing import Any

import pytest

from gateway import served, vendors
from gateway.access import JUDGING, SECTIONS
from gateway.errors import ConfigError, PlanbridgeError, Refused
from gateway.vendors import Agreement, Rule, Terms, Widening, checked, is_bulk, new_fields

BEGIN = date(2027, 8, 1)


def terms(**more: Any) -> Terms:
    return Terms(
        **{
            "purpose": "rostering",
            "basis": "school_official",
            "signer": "Ottoline Farrow",
            "document": "contract 17",
            "breach_contact": "breach@vendor.example.org",
            "begin": BEGIN,
            "until": BEGIN + timedelta(days=300),
            "collections": {"users": frozenset({"givenName"}), "classes": None},
            **more,
        }
    )


@pytest.mark.parametrize(
    ("code", "more"),
    [
        ("vendor-terms-incomplete", {"signer": " "}),
        ("vendor-terms-incomplete", {"document": ""}),
        ("vendor-terms-incomplete", {"breach_contact": ""}),
        ("vendor-terms-incomplete", {"until": BEGIN - timedelta(days=1)}),
        ("vendor-terms-incomplete", {"destroy_by": BEGIN}),
        ("agreement-field", {"basis": "directory", "collections": {"users": None, "demographics": None}}),
        ("vendor-terms-incomplete", {"collections": {}}),
        ("vendor-terms-incomplete", {"collections": {"grades": None}}),
        ("vendor-terms-incomplete", {"purpose": "marketing"}),
        ("vendor-terms-incomplete", {"rule": Rule(only_classes=True)}),
        ("vendor-terms-incomplete", {"writes": frozenset({"results"})}),
        ("vendor-terms-incomplete", {"writes": frozenset({"classes"})}),
        *(("purpose-refused", {"purpose": purpose}) for purpose in JUDGING),
        ("agreement-field", {"collections": {"users": frozenset({"shoeSize"})}}),
        ("agreement-field", {"collections": {"users": frozenset({"password"})}}),
        ("agreement-field", {"collections": {"events": frozenset({"plan"})}}),
        *(
            ("agreement-field", {"collections": {"plans": frozenset({section})}})
            for section in SECTIONS
            if section not in ("identity", "strengths", "academic", "goals")
        ),
    ],
)
def test_what_may_not_be_agreed(code: str, more: dict[str, Any]) -> None:
    with pytest.raises(PlanbridgeError) as refused:
        checked(terms(**more))
    assert refused.value.code == code


def test_to_write_has_to_be_agreed_and_is_no_small_change() -> None:
    before = terms(collections={"results": None})
    after = checked(terms(collections={"results": None}, writes=frozenset({"results"})))
    assert new_fields(before, after) == ("results (written)",)
    assert vendors.from_json(json.loads(vendors.as_json(after))) == after
    Agreement(1, "client", 1, after).refuse_writing("results")
    with pytest.raises(Refused, match="agreement-writing"):
        Agreement(1, "client", 1, before).refuse_writing("results")


def test_terms_come_back_as_they_were_kept() -> None:
    of = terms(rule=Rule(schools=frozenset({"b", "a"}), people=frozenset({"contact"})), destroy_by=date(2028, 9, 1))
    assert checked(vendors.from_json(json.loads(vendors.as_json(of)))) == of
    with pytest.raises(ConfigError, match="not complete"):
        vendors.from_json({"purpose": "rostering"})


def test_what_is_not_named_is_refused() -> None:
    agreement = Agreement(1, "client-1", 1, terms())
    assert agreement.fields("users") == {"givenName"} and agreement.fields("classes") is None
    with pytest.raises(Refused, match="does not name demographics") as refused:
        agreement.fields("demographics")
    assert refused.value.code == "agreement-collection"
    with pytest.raises(Refused) as refused:
        agreement.refuse_authoring()
    assert refused.value.code == "agreement-authoring"
    Agreement(1, "client-1", 1, terms(authoring=True)).refuse_authoring()


def test_new_fields_are_those_that_tell_more_of_somebody() -> None:
    before, names = terms(), frozenset({"givenName", "familyName", "grades"})
    assert new_fields(before, terms(collections={"users": names, "courses": None})) == ()
    assert new_fields(before, terms(collections={"users": names | {"email"}})) == ("users.email",)
    every = new_fields(before, terms(collections={"users": None}))
    assert "users.phone" in every and "users.givenName" not in every and "users.password" not in every
    assert new_fields(terms(collections={"users": None}), terms(collections={"users": frozenset({"email"})})) == ()
    assert "demographics.birthDate" in new_fields(before, terms(collections={"demographics": None}))
    assert new_fields(None, terms(collections={"plans": frozenset({"goals"})})) == ("plans.goals",)


@pytest.mark.parametrize(
    ("widening", "large"),
    [
        (Widening(100, 0), False),
        (Widening(100, 10), False),
        (Widening(100, 11), True),
        (Widening(0, 1), True),
        (Widening(0, 0), False),
        (Widening(100, 0, schools=("Fennel School",)), True),
        (Widening(100, 0, fields=("users.email",)), True),
    ],
)
def test_a_widening_says_its_number(widening: Widening, large: bool) -> None:
    assert widening.large == large
    widening.refuse(widening.people)
    if not large:
        widening.refuse(None)
        return
    for wrong in (None, widening.people + 1):
        with pytest.raises(Refused) as refused:
            widening.refuse(wrong)
        assert refused.value.code == "agreement-widens"
        assert f"--people {widening.people}" in refused.value.fix


@pytest.mark.parametrize(
    ("limit", "offset", "delta", "bulk"),
    [
        (100, 0, False, False),
        (100, 999, False, False),
        (100, 1_000, False, True),
        (100, 1_000, True, False),
        (1_000, 0, False, False),
        (1_001, 0, True, True),
        (0, 0, False, False),
    ],
)
def test_what_is_bulk(limit: int, offset: int, delta: bool, bulk: bool) -> None:
    assert is_bulk(terms(pages=10), limit=limit, offset=offset, delta=delta) == bulk


def test_pages_are_counted_however_they_were_asked_for() -> None:
    assert is_bulk(terms(pages=10), limit=100, offset=0, delta=False, walked=10)
    assert not is_bulk(terms(pages=10), limit=100, offset=0, delta=False, walked=9.9)
    assert not is_bulk(terms(pages=10), limit=100, offset=0, delta=True, walked=99)
    assert is_bulk(terms(pages=10**9), limit=1, offset=vendors.MOST_PAGES, delta=False), "whatever was agreed before"
    assert vendors.share(1, 1, goes_on=True) == 1 and vendors.share(1, 1, goes_on=False) == 0.01
    for pages in (0, vendors.MOST_PAGES + 1):
        with pytest.raises(ConfigError):
            checked(terms(pages=pages))


def test_whatever_tells_of_students_is_sensitive() -> None:
    assert all(vendors.sensitive("demographics", field) for field in served.COLLECTIONS["demographics"].fields)
    assert not vendors.sensitive("classes", "title") and not vendors.sensitive("users", "givenName")
