"""SFTP against a real server on loopback: its host key first, then who we are, then its newest file."""

import os
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from connectors.oneroster.deliveries import open_package
from connectors.oneroster.files import FileSource
from connectors.oneroster.settings import OneRosterSettings
from gateway import inbox
from gateway.connector import validated
from gateway.errors import AuthError, ConfigError, PlanbridgeError, Unavailable
from gateway.inbox import PlaceSettings
from tests.sftp import FINGERPRINT, OUR_KEY, PASSWORD, Told, login, served


def place(told: Told, path: str = "/out", **more: Any) -> PlaceSettings:
    return validated(PlaceSettings, {"student_identifier": "x", "staff_identifier": "x"} | login(told, path, **more))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is served: three files, of which b.zip is the newest."""
    out = tmp_path / "served" / "out"
    out.mkdir(parents=True)
    for age, name in ((300, "a.zip"), (100, "b.zip"), (0, "b.zip.part"), (0, "c.txt")):
        (out / name).write_bytes(name.encode() * 1000)
        os.utime(out / name, (time.time() - age,) * 2)
    (out / "z.zip").symlink_to("/etc/passwd")
    return tmp_path / "served"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files are fetched to."""
    into = tmp_path / "temporary"
    into.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(into))
    return into


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def refused(settings: PlaceSettings) -> PlanbridgeError:
    with pytest.raises(PlanbridgeError) as caught:
        await inbox.newest(settings)
    assert caught.value.fix
    assert PASSWORD not in str(caught.value)
    return caught.value


async def test_the_newest_file_is_fetched_and_nothing_is_changed(folder: Path, temporary: Path) -> None:
    async with served(folder) as told:
        parcel = await inbox.newest(place(told))
    item = parcel.newest
    assert (item.name, item.path.read_bytes()) == ("b.zip", b"b.zip" * 1000)
    assert item.path.suffix == ".zip"
    assert item.path.parent.stat().st_mode & 0o777 == 0o700
    assert told.requests == ["open /out/b.zip 1"], "read, and nothing else"
    parcel.close()
    assert left(temporary) == []


async def test_a_pattern_and_every_file(folder: Path) -> None:
    async with served(folder) as told:
        one = await inbox.newest(place(told, "/out/a*.zip"))
        all_ = await inbox.every(place(told))
    assert [item.name for item in one.items] == ["a.zip"]
    assert [item.name for item in all_.items] == ["a.zip", "b.zip"]
    one.close()
    all_.close()


async def test_a_key_opens_as_a_password_does(folder: Path) -> None:
    private = OUR_KEY.export_private_key().decode().strip()
    async with served(folder) as told:
        parcel = await inbox.newest(place(told, sftp_key=private))
    assert parcel.newest.name == "b.zip"
    assert told.passwords == []
    parcel.close()


async def test_without_its_fingerprint_a_server_is_told_nothing_and_names_its_key(folder: Path) -> None:
    async with served(folder) as told:
        error = await refused(place(told, sftp_fingerprint=""))
        assert (error.code, told.users, told.passwords) == ("sftp-host-key", [], [])
        assert FINGERPRINT in error.message and "ssh-ed25519" in error.message
        stranger = asyncssh.generate_private_key("ssh-ed25519").get_fingerprint()
        error = await refused(place(told, sftp_fingerprint=stranger))
    assert (error.code, told.users, told.passwords) == ("sftp-host-key", [], [])
    assert "not the one that is set" in error.message


async def test_who_is_not_let_in_learns_why(folder: Path, temporary: Path) -> None:
    async with served(folder) as told:
        error = await refused(place(told, sftp_password="wrong"))
        assert (type(error), error.code) == (AuthError, "sftp-login-refused")
        strange = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
        error = await refused(place(told, sftp_key=strange))
        assert (type(error), error.code) == (AuthError, "sftp-login-refused")
        error = await refused(place(told, sftp_key="no key at all"))
        assert (type(error), error.code) == (ConfigError, "sftp-key")
    assert left(temporary) == []


async def test_a_folder_that_is_not_there_and_a_server_that_is_not(folder: Path) -> None:
    async with served(folder) as told:
        error = await refused(place(told, "/other"))
        assert (type(error), error.code) == (ConfigError, "sftp-folder")
    error = await refused(place(told))
    assert (type(error), error.code) == (Unavailable, "sftp-unreachable")


async def test_a_private_address_needs_its_reason(folder: Path) -> None:
    async with served(folder) as told:
        error = await refused(place(told, private_addresses=[]))
        assert (type(error), error.code) == (ConfigError, "address-refused")
    assert told.users == []


async def test_a_file_that_still_grows_is_left_for_later(folder: Path, temporary: Path) -> None:
    def grow(path: str) -> None:
        with (folder / path.lstrip("/")).open("ab") as file:
            file.write(b"more")

    async with served(folder, while_reading=grow) as told:
        error = await refused(place(told))
    assert (type(error), error.code) == (Unavailable, "sftp-being-written")
    assert left(temporary) == []


async def test_what_a_killed_process_left_is_removed(folder: Path, temporary: Path) -> None:
    for age, name in ((2 * 86_400, "planbridge-fetched-old"), (60, "planbridge-fetched-now"), (2 * 86_400, "another")):
        (temporary / name).mkdir()
        os.utime(temporary / name, (time.time() - age,) * 2)
    async with served(folder) as told:
        (await inbox.newest(place(told))).close()
    assert left(temporary) == ["another", "planbridge-fetched-now"]


ORGS = "sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId\nsch-1,,,Cedar,school,,\n"
MANIFEST = "propertyName,value\nmanifest.version,1.0\noneroster.version,1.1\nfile.orgs,bulk\n"


@pytest.mark.parametrize("packed", [True, False])
async def test_a_package_is_read_from_there(folder: Path, temporary: Path, packed: bool) -> None:
    """As a zip beside others, or as the files themselves."""
    out = folder / "out"
    if packed:
        with zipfile.ZipFile(out / "new.zip", "w") as made:
            made.writestr("manifest.csv", MANIFEST)
            made.writestr("orgs.csv", ORGS)
    else:
        (out / "manifest.csv").write_text(MANIFEST)
        (out / "orgs.csv").write_text(ORGS)
    async with served(folder) as told:
        source = await open_package(validated(OneRosterSettings, login(told)))
    assert isinstance(source, FileSource)
    orgs = next(resource for resource in source.resources if resource.name == "orgs")
    assert len((await source.pull(orgs, "")).rows) == 1
    said = [finding.text for finding in await source.check()]
    assert said[0].startswith(f"OneRoster 1.1 CSV package, {'new.zip' if packed else 'out'}, from")
    await source.close()
    assert left(temporary) == []
