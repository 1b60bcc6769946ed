"""The common schema: which kinds of entity exist, how their fields merge, and what refers to what."""

from gateway.schema.fields import Merge
from gateway.schema.kinds import KINDS, ORDER, Kind, Reference

__all__ = ["KINDS", "ORDER", "Kind", "Merge", "Reference"]
