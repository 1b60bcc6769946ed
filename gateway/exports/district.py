"""A district in one file: what it has and what it wrote, in a form that any program can read."""

import hashlib
import json
import os
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import gateway
from gateway import clock, configuration
from gateway.errors import ConfigError
from gateway.store import districts, extracts, standing
from gateway.store.database import Store
from gateway.store.registers import Actor

SETTINGS = "configuration.yaml"
RESTRICTIONS = "restrictions.jsonl"
"""Whom the district keeps from whom, as far as its roster has them: at rest there are keyed hashes only."""


async def export(store: Store, name: str, file: Path, actor: Actor, also: Collection[str] = ()) -> dict[str, Any]:
    """Write a zip of JSON lines, the configuration without secrets, and a manifest with the hash of each; returns the
    manifest. It holds everything of everybody in the clear, but for the kinds that are withheld: these come `also`
    where they are named, and are listed as withheld where not. ConfigError when there is no such kind, or the file is
    there or cannot be written.
    """
    if unknown := set(also) - set(extracts.WITHHELD.values()):
        raise ConfigError(
            "kind-unknown",
            f"Nothing called {min(unknown)!r} is withheld.",
            f"Choose from: {', '.join(extracts.WITHHELD.values())}; everything else is written anyway.",
        )
    left_out = {part: kind for part, kind in extracts.WITHHELD.items() if kind not in also}
    district = await districts.named(store, name)
    draft = _begun(file)
    try:
        kept_away = await standing.restrictions(store, district)
        files = {
            SETTINGS: (await configuration.exported(store, district)).encode(),
            RESTRICTIONS: "".join(json.dumps(one, default=str) + "\n" for one in kept_away).encode(),
        }
        manifest: dict[str, Any] = {
            "district": name,
            "made_at": clock.now().isoformat(),
            "program": gateway.__version__,
            "withheld": sorted(left_out.values()),
            "files": {},
        }
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as package:
            async with extracts.still(store, district) as c:
                for part in (part for part in extracts.FILES if part not in left_out):
                    digest, rows = hashlib.sha256(), 0
                    with package.open(part, "w") as out:
                        async for line in extracts.lines(c, part):
                            said = line.encode() + b"\n"
                            out.write(said)
                            digest.update(said)
                            rows += 1
                    manifest["files"][part] = {"rows": rows, "sha256": digest.hexdigest()}
            for part, said in files.items():
                package.writestr(part, said)
                manifest["files"][part] = {"sha256": hashlib.sha256(said).hexdigest()}
            package.writestr("manifest.json", json.dumps(manifest, indent=2))
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)
    with file.open("rb") as made:
        await districts.note_export(store, district, actor, hashlib.file_digest(made, "sha256").hexdigest())
    return manifest


def _begun(file: Path) -> Path:
    """An empty file that only we can read, beside the place that the whole one will take."""
    draft = file.with_name(file.name + ".draft")
    if file.exists():
        raise ConfigError("export-exists", f"{file} is there already.", "Choose another name: none is replaced.")
    try:
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    except OSError as error:
        raise ConfigError("file-unwritable", f"{file} cannot be written: {error.strerror}.", "Correct it.") from None
    return draft
