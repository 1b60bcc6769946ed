"""What every piece of a plan is made of: strictness, ids, texts, people, and where a term comes from."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

OURS = "Planbridge"
"""The source of a term that no standard has."""


def says(description: str, source: str = OURS, **more: Any) -> Any:
    """A field's meaning, and the standard or practice its term was taken from; both are in the published schema."""
    return Field(description=description, json_schema_extra={"x-source": source}, **more)


class Part(BaseModel):
    """Every piece of a plan: unknown fields are refused, so that a misspelt one is not lost in silence."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, allow_inf_nan=False, frozen=True)


EntityId = Annotated[
    str,
    Field(pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$", json_schema_extra={"format": "uuid"}),
    AfterValidator(lambda text: str(UUID(text))),
]
"""The id of an entity of the common schema."""

Text = Annotated[str, Field(min_length=1, max_length=20_000)]
Verbatim = Annotated[str, StringConstraints(strip_whitespace=False, min_length=1, max_length=20_000)]
Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Language = Annotated[str, Field(pattern=r"^[a-z]{3}$")]
"""ISO 639-3, as `spa`."""
Standard = Annotated[str, Field(pattern=r"^https?://[^\s<>\"]{1,500}$", json_schema_extra={"format": "uri"})]
"""The address of a standard as CASE names it."""


def item_id(prefix: str) -> Any:
    # Only a number, so that nobody's words get into a key or an address at another system.
    note = f"Stable name of the item in this plan, {prefix}-1 and so on; given when it is left out."
    return says(note, pattern=rf"^{prefix}-[1-9][0-9]{{0,5}}$")


class Named(Part):
    """Somebody who is not on the roster."""

    name: Annotated[Text, says("Name.", "FHIR HumanName.text")]
    side: Annotated[Literal["family", "partner"], says("Belongs to the family or to a partner organization.")]
    organization: Annotated[Text | None, says("The partner organization.", "FHIR Organization.name")] = None
    agreement: Annotated[Text | None, says("Which agreement binds the partner.")] = None


Who = EntityId | Named
"""A person on the roster by entity id, or somebody named."""
