"""How a filter of OneRoster is read: `field op 'value'`, and at most two of them joined by AND or OR."""

import re

from gateway.api.oneroster.answers import Trouble
from gateway.queries import Clause, Filter, Op

LONGEST = 2000
# The standard says nothing of a quote within a value; doubled is how most languages write one, and so it is read here.
_CLAUSE = re.compile(r"\s*([A-Za-z][\w.:-]*)\s*(!=|>=|<=|=|>|<|~)\s*'((?:[^']|'')*)'\s*")
_JOINT = re.compile(r"(AND|OR)(?=\s)", re.IGNORECASE)
_OPS: dict[str, Op] = {"=": "=", "!=": "!=", ">": ">", ">=": ">=", "<": "<", "<=": "<=", "~": "~"}


def read(given: str) -> Filter:
    """The filter that a text means; none where the text is empty. Trouble for what is no filter: 400."""
    if not given.strip():
        return Filter()
    if len(given) > LONGEST:
        raise unusable(f"A filter has at most {LONGEST} characters.")
    first, at = _clause(given, 0)
    if at == len(given):
        return Filter((first,))
    joint = _JOINT.match(given, at)
    if joint is None or not given[at - 1].isspace():
        raise unusable("After a value there may only follow AND or OR, with spaces around it, and one more comparison.")
    second, at = _clause(given, joint.end())
    if at < len(given):
        raise unusable("A filter has at most two comparisons, joined by one AND or OR.")
    return Filter((first, second), either=joint[1].upper() == "OR")


def _clause(given: str, at: int) -> tuple[Clause, int]:
    found = _CLAUSE.match(given, at)
    if found is None:
        raise unusable("Write a comparison as field='value', with one of = != > >= < <= ~ and single quotes.")
    name, op, value = found.groups()
    if "\0" in value:
        raise unusable("A value cannot have a character zero.")
    return Clause(name, _OPS[op], value.replace("''", "'")), found.end()


def unusable(why: str) -> Trouble:
    """What a filter that cannot be used answers; it repeats nothing that was sent."""
    return Trouble(400, "invalid_filter_field", why)
