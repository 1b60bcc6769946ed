"""How a field of the common schema is declared: what it refers to, how several claims about it merge."""

from typing import Any, Literal

import msgspec

Merge = Literal["one", "union", "owned"]
"""one: the first claim in precedence wins. union: every distinct value of all claims.
owned: a list taken whole from the first connection that states any (several of its records may add to it)."""


def meta(description: str, *, ref: str | None = None, merge: Merge = "one", required: bool = False) -> msgspec.Meta:
    """Describe a field. `ref` names the kind that the value (or each value of a list) is a key of."""
    extra: dict[str, Any] = {"merge": merge, "required": required}
    if ref is not None:
        extra["ref"] = ref
    return msgspec.Meta(description=description, extra=extra, extra_json_schema={"x-planbridge": extra})


class Values(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What one claim states about an entity; a field that is left out is not stated.

    In a claim a reference holds the source's key; in a published entity, the id of the entity it denotes.
    """
