"""What passes the edge, what is dropped there, and what counts as a change."""

import json
from typing import Any

import msgspec
import pytest

from gateway.connector import Resource
from gateway.payload import edge


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
    ],
)
def test_what_a_path_names_is_dropped_and_nothing_else(path: str, row: dict[str, Any], kept: dict[str, Any]) -> None:
    assert passed(row, path)[0] == kept


def test_a_row_without_anything_to_drop_keeps_its_very_bytes() -> None:
    resource = Resource("rows", Wire, lambda wire: wire.id, drop=("password",))
    raw = b'{"id": "1",  "score": 3.10}'
    assert edge(resource, "m@1")(raw)[0] == raw.decode()


def test_only_what_is_kept_and_not_ignored_counts_as_a_change() -> None:
    row = {"id": "1", "password": "x", "seen": "monday"}
    before = passed(row, "password", ignore=("seen",))[1]
    assert passed(row | {"password": "y", "seen": "tuesday"}, "password", ignore=("seen",))[1] == before
    assert passed({"seen": "monday", "id": "1"}, "password", ignore=("seen",))[1] == before
    assert passed(row | {"id": "2"}, "password", ignore=("seen",))[1] != before
    assert passed(row, "password", ignore=("seen",), mapping="m@2")[1] != before
