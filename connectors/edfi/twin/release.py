"""Which server is played: the release of ODS/API or Ed-Fi API, what came or went with it, what its host switched on."""

from dataclasses import dataclass
from typing import Literal

STANDARDS = ("3.3", "4.0", "5.0", "6.0")
VERSIONS = ("5.3", "5.4", "6.0", "6.1", "6.2", "7.0", "7.1", "7.2", "7.3", "8.0")

Form = Literal["message", "correlated", "problem", "paths"]

# Ed-Fi: ODS/API 5.x serves 3.3b, 6.x 4.0, 7.0 and 7.1 4.0 or 5.0, 7.2 4.0 or 5.1, 7.3 4.0, 5.2 or 6.1, 8.0 5.2 or 6.1.
# The contract is published for 5.0 and 6.0: they stand for their successors, which only add to them.
_FIRST = {"3.3": (5, 3), "4.0": (6, 0), "5.0": (7, 0), "6.0": (7, 3)}
_AFTER = {"3.3": (6, 0), "4.0": (8, 0)}
_USUAL = {"3.3": "5.4", "4.0": "6.2", "5.0": "7.3", "6.0": "8.0"}
_MODELS = {"3.3": "3.3.1-b", "4.0": "4.0.0", "5.0": "5.0.0", "6.0": "6.0.0"}
# Ed-Fi: the names of these modes in discovery, up to 6.2, by what stands in the path.
_MODES = {"": "Shared Instance", "year": "Year Specific", "instance/year": "Instance Year Specific"}
_SINCE_7 = ("", "year", "instance/year", "edfi_tenant", "edfi_tenant/year")


@dataclass(frozen=True)
class Release:
    """One release with one data standard. Everything that differs between releases is asked of this class.

    `version`: one of VERSIONS that serves the standard; empty for the usual one.
    `route`: what stands in each path to say which data is meant: "", "year", "instance/year", from 7.0 on also
    "edfi_tenant" and "edfi_tenant/year"; None for what is usual: the year up to 6.2, nothing after.
    `changes`: "told"; "not granted", where the key may not read what was deleted or renamed; "off" at this host.
    `suppressed`: nothing is told of the deletion of an item that was created anew.
    `snapshots`: whether the host has one, made when the server starts. `dashed_tombstones`: whether the ids of what is
    gone are written the other way, with dashes where rows have none (Ed-Fi: ODS-5101).
    """

    standard: str  # one of STANDARDS
    version: str = ""
    route: str | None = None
    changes: str = "told"
    suppressed: bool = True
    snapshots: bool = False
    dashed_tombstones: bool = False

    def __post_init__(self) -> None:
        if self.standard not in STANDARDS:
            raise ValueError(f"the twin plays the Data Standards {', '.join(STANDARDS)}")
        if not self.version:
            object.__setattr__(self, "version", _USUAL[self.standard])
        if self.version not in VERSIONS:
            raise ValueError(f"the twin plays the versions {', '.join(VERSIONS)}")
        if not _FIRST[self.standard] <= self._number < _AFTER.get(self.standard, (9, 0)):
            raise ValueError(f"version {self.version} never served Data Standard {self.standard}")
        if self.route is None:
            object.__setattr__(self, "route", "year" if self._number < (7, 0) else "")
        if self.route not in (_MODES if self._number < (7, 0) else _SINCE_7):
            raise ValueError(f"version {self.version} has no paths by {self.route}")
        if self.changes not in ("told", "not granted", "off"):
            raise ValueError("changes are told, not granted or off")

    # The data standard.

    @property
    def five(self) -> bool:
        """Contacts instead of parents, and other spellings of Data Standard 5 and later."""
        return self.standard >= "5"

    @property
    def six(self) -> bool:
        """What students and staff are, where they live and their numbers each in a resource of its own."""
        return self.standard >= "6"

    @property
    def model(self) -> str:
        """The version of the data model as discovery writes it. # Ed-Fi: 6.0 came with 4.0-a"""
        return "4.0.0-a" if self.version == "6.0" else _MODELS[self.standard]

    # What it tells about itself.

    @property
    def eight(self) -> bool:
        """The Ed-Fi API: another program (DMS), with other paths, ids, tokens and a stricter eye for names."""
        return self._number >= (8, 0)

    @property
    def mode(self) -> str:
        """`apiMode` of the discovery document; empty where it has none. # Ed-Fi: gone with 7.0"""
        return _MODES[self.route or ""] if self._number < (7, 0) else ""

    @property
    def segments_first(self) -> bool:
        """Whether what says which data is meant stands before /data/v3 (7.0 on) or behind it."""
        return self._number >= (7, 0)

    @property
    def slash(self) -> str:
        """With what addresses in discovery end. # Ed-Fi: it varies between releases"""
        return "/" if self.modern and not self.eight else ""

    @property
    def openapi3(self) -> bool:
        """OpenAPI 3 instead of Swagger 2.0. # Ed-Fi: 7.1 on"""
        return self._number >= (7, 1)

    @property
    def people_twice(self) -> bool:
        """Whether dependencies list creating a person and changing one apart. # Ed-Fi: 6.1 on"""
        return self._number >= (6, 1)

    # Tokens.

    @property
    def limited_tokens(self) -> bool:
        """No more than fifteen live tokens for one key. # Ed-Fi: 7.2 on"""
        return self.modern and not self.eight

    @property
    def web_tokens(self) -> bool:
        """A JWT instead of an opaque number. # Ed-Fi: 8.0 on; 7.3 by a setting"""
        return self.eight

    # Reading.

    @property
    def lowest_limit(self) -> int:
        """# Ed-Fi: before 7.1 a limit of 0 is refused"""
        return 0 if self._number >= (7, 1) else 1

    @property
    def cursor(self) -> bool:
        """Pages by token, and partitions. # Ed-Fi: 7.3, and not yet in 8.0"""
        return self.version == "7.3"

    @property
    def dated(self) -> bool:
        """Whether rows have _lastModifiedDate. # Ed-Fi: 7.0 on; Data Standard 4.0 does not name it"""
        return self._number >= (7, 0)

    @property
    def dashed(self) -> bool:
        """Whether ids are UUIDs with dashes. # Ed-Fi: 8.0 on"""
        return self.eight

    @property
    def snapshot_header(self) -> str:
        """How a request asks for the snapshot; empty where there is no such thing."""
        if self.eight:
            return ""
        return "use-snapshot" if self._number >= (7, 0) else "snapshot-identifier"

    @property
    def key_values(self) -> bool:
        """Whether what is told of deletions has the natural key. # Ed-Fi: 5.4 on"""
        return self._number >= (5, 4)

    @property
    def key_changes(self) -> bool:
        """# Ed-Fi: 5.4 on"""
        return self._number >= (5, 4)

    @property
    def capital_versions(self) -> bool:
        """OldestChangeVersion instead of oldestChangeVersion. # Ed-Fi: before 6.0"""
        return self._number < (6, 0)

    # Refusals and writes.

    @property
    def modern(self) -> bool:
        """Problem details. # Ed-Fi: 7.2 on"""
        return self._number >= (7, 2)

    @property
    def form(self) -> Form:
        """How it says no: a message; with a correlation id too (7.0); problem details (7.2); and those with every
        reference that leads nowhere by its path (8.0)."""
        if self.eight:
            return "paths"
        if self.modern:
            return "problem"
        return "correlated" if self._number >= (7, 0) else "message"

    @property
    def exact_names(self) -> bool:
        """Whether a property must be spelled exactly; one that is not is not there. # Ed-Fi: 8.0 on"""
        return self.eight

    @property
    def _number(self) -> tuple[int, int]:
        major, minor = self.version.split(".")
        return int(major), int(minor)
