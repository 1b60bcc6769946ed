"""What of a payload may be looked at: structure, types, and the shape of the value that is wrong."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.masking import masked, shape, tail

RECORD = {
    "sourcedId": "src-4711",
    "givenName": "Wrenhilda",
    "active": True,
    "n": 12,
    "orgs": [{"sourcedId": "school-1", "type": "Ünglück"}, {"sourcedId": "s", "type": None}],
    "metadata": {"Born": "14.03.2011"},
}


def test_every_value_is_masked_and_the_offending_one_keeps_its_shape() -> None:
    assert masked(json.dumps(RECORD), "metadata.Born") == {
        "sourcedId": "text (8)",
        "givenName": "text (9)",
        "active": "yes or no",
        "n": "number",
        "orgs": [{"sourcedId": "text (8)", "type": "text (7)"}, {"sourcedId": "text (1)", "type": None}],
        "metadata": {"Born": "99.99.9999"},
    }


@pytest.mark.parametrize("field", ["orgs[...].type", "orgs[0].type", "orgs.type"])
def test_an_offending_field_is_found_inside_of_lists(field: str) -> None:
    assert masked(json.dumps(RECORD), field)["orgs"][0] == {"sourcedId": "text (8)", "type": "Xxxxxxx"}


def test_an_offending_object_or_number_shows_the_shapes_in_it() -> None:
    assert masked(json.dumps(RECORD), "metadata") == masked(json.dumps(RECORD), "metadata.Born")
    assert masked('{"n": -12.5, "on": true}', "n") == {"n": "-99.9", "on": "yes or no"}
    assert masked('{"on": true}', "on") == {"on": "yes or no"}  # four letters or five would tell


@given(st.text(max_size=200))
def test_a_shape_gives_no_letter_and_no_digit_away(text: str) -> None:
    assert set(shape(text)) <= {"x", "X", "9", " ", "?", *string.punctuation}
    assert len(shape(text)) <= 63


@given(st.text(max_size=40))
def test_of_a_key_at_most_half_is_shown(key: str) -> None:
    shown = tail(key)
    assert shown is not None and shown.startswith("...")
    end = shown.removeprefix("...") if len(key) > 1 else ""
    assert key.endswith(end) and len(end) <= min(4, len(key) // 2)
