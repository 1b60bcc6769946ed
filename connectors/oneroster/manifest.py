"""What manifest.csv says of a package: its version, its sender, and which files are whole, changes, or not there."""

import csv
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from connectors.oneroster.columns import COLUMNS, NEVER_READ
from connectors.oneroster.rows import LONGEST_LINE, Place
from gateway.connector import Notice
from gateway.errors import ConfigError


@dataclass(frozen=True)
class Manifest:
    """`modes` holds bulk, delta or absent by collection; a collection that it does not list is not in it."""

    version: str
    modes: dict[str, str]
    system: str
    unlisted: Collection[str]
    """Collections that are read as bulk although the manifest does not list them."""
    notices: Sequence[Notice]


def read_manifest(file: Place, there: Collection[str]) -> Manifest:
    """The manifest of a package that has the files `there` (names in lower case). ConfigError where it makes no sense.

    A file that it does not list is read as bulk if it is there and nothing in the package is a delta.
    """
    with file.open("rb") as stream:
        text = stream.read(LONGEST_LINE).decode("utf-8-sig", "replace")
    lines = [line for line in csv.reader(text.splitlines(), delimiter=_separator(text)) if line and line[0].strip()]
    properties = {line[0].strip().casefold(): line[1].strip() if len(line) > 1 else "" for line in lines}
    stated = properties.get("oneroster.version", "")
    version = re.match(r"1\.[12]", stated)
    if version is None:
        raise ConfigError(
            "csv-version",
            f"manifest.csv has the oneroster.version {stated!r}.",
            "Export as OneRoster 1.1 or 1.2.",
        )
    listed = {name: properties.get(f"file.{name.casefold()}", "").casefold() for name in (*COLUMNS, *NEVER_READ)}
    for name, mode in listed.items():
        _check_mode(name, mode)
    modes = {name: mode for name, mode in listed.items() if mode}
    unlisted = (
        [] if "delta" in modes.values() else [n for n in listed if n not in modes and f"{n}.csv".casefold() in there]
    )
    return Manifest(
        version[0],
        modes | dict.fromkeys(unlisted, "bulk"),
        properties.get("source.systemname") or "a system that does not say its name",
        unlisted,
        [Notice("csv-manifest-version", "manifest.csv: manifest.version", "manifest.csv")]
        if properties.get("manifest.version", "") != "1.0"
        else [],
    )


def _separator(text: str) -> str:
    """Whoever has Excel write the files with semicolons has it write the manifest so."""
    first = text.partition("\n")[0]
    return next((sign for sign in (",", ";", "\t") if sign in first), ",")


def _check_mode(name: str, mode: str) -> None:
    if mode not in ("bulk", "delta", "absent", ""):
        raise ConfigError(
            "csv-manifest-value",
            f"manifest.csv has {mode!r} for file.{name}.",
            "It must be bulk, delta or absent.",
        )
