"""A folder at an SFTP server: a plan is a PDF there, beside lists that hold none of its words."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from connectors.document_drop.settings import DocumentDropSettings
from gateway.connector import validated
from gateway.store import registers
from gateway.store.database import Store
from tests.destinations.world import ACTOR, ODD, There, Wire, World
from tests.identity.rosters import FILLERS, connected
from tests.pdfs import Pdf
from tests.records import TEACHER
from tests.sftp import PASSWORD, Told, login, served_apart


@dataclass
class Drop(There):
    """The folder, seen by whoever can open it. The words of a PDF are read out of it once."""

    told: Told
    folder: Path
    read: dict[tuple[str, int], str] = field(default_factory=dict)

    @property
    def settings(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        made = validated(DocumentDropSettings, login(self.told) | {"readers": "the registrar"})
        return made.model_dump(mode="json", exclude={"sftp_password", "proxy", "sftp_key"}), {"sftp_password": PASSWORD}

    def standing(self) -> Mapping[str, str]:
        found = {}
        for path in self.folder.glob("*.pdf"):
            [plan] = re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", path.name)
            known = (path.name, path.stat().st_mtime_ns)
            if known not in self.read:
                content = path.read_bytes()
                made = content.startswith(b"%PDF")
                self.read[known] = _squeezed(Pdf(content).text()) if made else content.decode()
            found[plan] = self.read[known]
        return found

    def edit(self, id: str, word: str) -> None:
        [path] = self.folder.glob(f"*{id}*.pdf")
        path.write_text(word, encoding="utf-8")


def _squeezed(text: str) -> str:
    """Lines of a page end where there is room no more."""
    return re.sub(r"[\s\u200b]", "", text)


class DropWorld(World):
    name = "document_drop"
    shows = ("strength", "goal", "support")
    choices: Mapping[str, Any] = {}
    adopts = True
    # Letters that no font of ours has are refused, and those from the right stand in a PDF in the order in which they
    # are drawn: tests/connectors/test_document_drop.py has both.
    odd = ODD | {
        "goal": "Liest \U0001f600 laut vor: " + "x" * 101,
        "strength": "Aime l\u2019\u00e9t\u00e9 \u2014 \u00bd.",
        "support": "Lese-Gruppe <i>na\u00efve</i> & Co. &nbsp; " + "n" * 61,
    }

    @contextmanager
    def serve(self) -> Iterator[There]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "out"
            folder.mkdir()
            with served_apart(Path(name)) as told:
                # It is told the same things as a wire of HTTP.
                yield Drop("", cast(Wire, told), told, folder)

    async def roster(self, store: Store, district: int, connection: registers.Connection) -> None:
        with tempfile.TemporaryDirectory() as name:
            sis = await connected(store, district, "sis", Path(name), ACTOR)
            await sis.says(*FILLERS, TEACHER)

    def reads(self, text: str) -> str:
        return _squeezed(text)


WORLD = DropWorld()
