"""Finds connectors and mappings by folder name or by entry point; no list of them exists anywhere."""

import importlib
import importlib.util
import pkgutil
from functools import cache
from importlib.metadata import entry_points

import connectors
from gateway.connector import Connector
from gateway.errors import ConfigError
from gateway.mapping import Mapping


@cache
def names() -> tuple[str, ...]:
    """Every connector there is, in alphabetical order."""
    folders = {module.name for module in pkgutil.iter_modules(connectors.__path__) if module.ispkg}
    return tuple(sorted(folders | {point.name for point in entry_points(group="planbridge.connectors")}))


@cache
def connector(name: str) -> Connector:
    """The connector of that name. ConfigError when there is none."""
    found = _load("planbridge.connectors", "connectors", name, "CONNECTOR")
    assert isinstance(found, Connector)
    return found


@cache
def mapping(name: str) -> Mapping:
    """The mapping of the connector of that name."""
    found = _load("planbridge.mappings", "mappings", name, "MAPPING")
    assert isinstance(found, Mapping)
    return found


def _load(group: str, package: str, name: str, attribute: str) -> object:
    for point in entry_points(group=group):
        if point.name == name:
            return point.load()
    if name not in names() or importlib.util.find_spec(f"{package}.{name}") is None:
        raise ConfigError(
            "connector-unknown",
            f"There is no connector {name!r}.",
            f"Choose one of: {', '.join(names())}.",
        )
    return getattr(importlib.import_module(f"{package}.{name}"), attribute)
