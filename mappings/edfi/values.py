"""How Ed-Fi's codes and absent values are read."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from msgspec import UNSET, UnsetType

from connectors.edfi import models as wire
from gateway.mapping import Crosswalks

T = TypeVar("T")


def code(descriptor: wire.Descriptor) -> str:
    """The code value of a descriptor: what stands behind the namespace."""
    return descriptor.rpartition("#")[2]


def code_if(descriptor: wire.Descriptor | None) -> str | UnsetType:
    """Its code value, not stated where there is none."""
    return code(descriptor) if descriptor else UNSET


def translated(table: str, descriptor: wire.Descriptor | None, codes: Crosswalks) -> str | UnsetType:
    """The common schema's word for a code, not stated where there is no code or no word."""
    return (codes.translate(table, descriptor) if descriptor else None) or UNSET


def several(table: str, descriptors: Iterable[wire.Descriptor], codes: Crosswalks) -> list[str]:
    """The distinct words for several codes, in their order."""
    words = [codes.translate(table, descriptor) for descriptor in descriptors]
    return list(dict.fromkeys(word for word in words if word))


def grades(levels: Sequence[wire.GradeLevel] | None, codes: Crosswalks) -> list[str] | UnsetType:
    """CEDS codes of grade levels."""
    return several("grade", (level.gradeLevelDescriptor for level in levels or ()), codes) or UNSET


def text(value: str | None) -> str | UnsetType:
    """A text without spaces around it, not stated where nothing is left."""
    return (value or "").strip() or UNSET


def given(value: T | None) -> T | UnsetType:
    """A value as it is, not stated where the record has none."""
    return UNSET if value is None else value
