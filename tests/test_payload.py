"""What passes the edge, what is dropped there, and what counts as a change."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connector import Resource
from gateway.errors import RecordError
from gateway.payload import LONGEST_ROW, _parts, edge, members_of, rows_of


class Wire(msgspec.Struct):
    id: str


def passed(row: dict[str, Any], *drop: str, ignore: tuple[str, ...] = (), mapping: str = "m@1") -> tuple[Any, str]:
    resource = Resource("rows", Wire, lambda wire: wire.id, drop=drop, ignore=ignore)
    kept, fingerprint = edge(resource, mapping)(json.dumps(row).encode())
    return json.loads(kept), fingerprint


@pytest.mark.parametrize(
    ("path", "row", "kept"),
    [
        ("password", {"id": "1", "password": "x"}, {"id": "1"}),
        ("a.b", {"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}),
        ("a[].b", {"a": [{"b": 1}, {"c": 2}]}, {"a": [{}, {"c": 2}]}),
        ("**.link", {"link": 1, "a": [{"link": 2, "b": {"link": 3}}]}, {"a": [{"b": {}}]}),
        ("a[type=ssn]", {"a": [{"type": "SSN", "n": 1}, {"type": "sis"}]}, {"a": [{"type": "sis"}]}),
        ("a.b", {"a": None}, {"a": None}),
        ("a[].b", {"a": {"b": 1}}, {"a": {"b": 1}}),
        ("a[type=ssn]", {"a": "ssn"}, {"a": "ssn"}),
        ("a[type=social security number]", {"a": [{"type": "Social Security Number"}, "ssn"]}, {"a": ["ssn"]}),
    ],
)
def test_what_a_path_names_is_dropped_and_nothing_else(path: str, row: dict[str, Any], kept: dict[str, Any]) -> None:
    assert passed(row, path)[0] == kept


def test_a_row_without_anything_to_drop_keeps_its_very_bytes() -> None:
    resource = Resource("rows", Wire, lambda wire: wire.id, drop=("password",))
    raw = b'{"id": "1",  "score": 3.10}'
    assert edge(resource, "m@1")(raw)[0] == raw


def test_only_what_is_kept_and_not_ignored_counts_as_a_change() -> None:
    row = {"id": "1", "password": "x", "seen": "monday"}
    before = passed(row, "password", ignore=("seen",))[1]
    assert passed(row | {"password": "y", "seen": "tuesday"}, "password", ignore=("seen",))[1] == before
    assert passed({"seen": "monday", "id": "1"}, "password", ignore=("seen",))[1] == before
    assert passed(row | {"id": "2"}, "password", ignore=("seen",))[1] != before
    assert passed(row, "password", ignore=("seen",), mapping="m@2")[1] != before


# --- rows that nobody can use

DEEP = b"[" * 5_000 + b"]" * 5_000
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.lists(VALUES), st.sampled_from([None, 2]))
def test_an_array_is_taken_apart_without_reading_it(rows: list[Any], indent: int | None) -> None:
    text = json.dumps(rows, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert [json.loads(part) for part in _parts(text)] == rows


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), VALUES), st.sampled_from([None, 2]))
def test_an_object_keeps_the_members_beside_a_deep_one(members: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(members | {"deep": 0}, indent=indent).encode()
    found = members_of(text.replace(b'"deep": 0', b'"deep": ' + DEEP))
    assert found.keys() == members.keys() | {"deep"}
    assert {name: json.loads(bytes(found[name])) for name in members if name != "deep"} == {
        name: value for name, value in members.items() if name != "deep"
    }


def test_a_deep_row_does_not_take_the_others_with_it() -> None:
    one, deep, two = rows_of(b'[{"id": "1"}, {"id": ' + DEEP + b'}, {"id": "2", "a": [",", "]"]}]')
    assert [json.loads(bytes(row))["id"] for row in (one, two)] == ["1", "2"]
    with pytest.raises(RecursionError):
        msgspec.json.decode(deep)


@pytest.mark.parametrize("text", [b"", b"{}", b'"[1]"', b"[1, 2"])
def test_what_is_no_array_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        rows_of(text)


@pytest.mark.parametrize(("name", "refused"), [("a\0b", True), ("\0", True), ("a\\u0000b", False), ("\\\0", True)])
def test_a_nul_is_refused_and_no_text_that_looks_like_one(name: str, refused: bool) -> None:
    if not refused:
        assert passed({"id": "1", "name": name})[0]["name"] == name
        return
    with pytest.raises(RecordError, match="NUL"):
        passed({"id": "1", "name": name})


def test_a_row_longer_than_any_record_is_refused() -> None:
    assert passed({"id": "x" * (LONGEST_ROW - 100)})
    with pytest.raises(RecordError, match="longer"):
        passed({"id": "x" * LONGEST_ROW})
