"""Where delivered files lie: a folder of this computer, with whatever else is in it."""

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway import inbox
from gateway.connector import validated
from gateway.errors import ConfigError
from gateway.inbox import PlaceSettings

DAY = 86_400


def place(path: object, **more: Any) -> PlaceSettings:
    return validated(PlaceSettings, {"path": str(path), "student_identifier": "x", "staff_identifier": "x"} | more)


def file(folder: Path, name: str, *, age: timedelta = timedelta(), content: bytes = b"x") -> Path:
    path = folder / name
    path.write_bytes(content)
    then = time.time() - age.total_seconds()
    os.utime(path, (then, then))
    return path


async def names(settings: PlaceSettings, **more: Any) -> list[str]:
    parcel = await inbox.newest(settings, **more)
    parcel.close()
    return [item.name for item in parcel.items]


async def test_of_a_folder_the_newest_file_counts(tmp_path: Path) -> None:
    for days, name in ((3, "c.zip"), (1, "a.ZIP"), (2, "b.zip"), (0, "notes.txt"), (0, ".hidden.zip")):
        file(tmp_path, name, age=timedelta(days=days))
    file(tmp_path, "later.zip.filepart")
    (tmp_path / "folder.zip").mkdir()
    assert await names(place(tmp_path)) == ["a.ZIP"]
    assert await names(place(tmp_path / "b*.zip")) == ["b.zip"]
    parcel = await inbox.every(place(tmp_path))
    assert [item.name for item in parcel.items] == ["c.zip", "b.zip", "a.ZIP"]
    assert parcel.newest.path == tmp_path / "a.ZIP"


async def test_a_file_is_itself_and_a_folder_with_the_marker_is_one_package(tmp_path: Path) -> None:
    path = file(tmp_path, "a.zip")
    assert await names(place(path)) == ["a.zip"]
    file(tmp_path, "Manifest.csv")
    assert await names(place(tmp_path), marker="manifest.csv") == [tmp_path.name]
    assert await names(place(tmp_path)) == ["a.zip"]


async def test_where_nothing_is_yet_the_place_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "not-there"):
        parcel = await inbox.newest(place(path))
        assert parcel.items == []
        with pytest.raises(ConfigError) as caught:
            _ = parcel.newest
        assert caught.value.code == "inbox-empty"
        assert str(path) in caught.value.message


async def test_an_upload_is_the_newest_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    sent = file(tmp_path, "my export (1).zip", content=b"a package")
    folder = tmp_path / "in" / "sis"
    put = inbox.put(place(folder), sent)
    assert (put.parent, put.read_bytes()) == (folder, b"a package")
    assert put.name.startswith("upload-2") and put.name.endswith("-my_export_1_.zip")
    assert [path.stat().st_mode & 0o777 for path in (folder, put)] == [0o700, 0o600]
    assert list(folder.iterdir()) == [put]
    assert await names(place(folder)) == [put.name]


async def test_old_uploads_are_removed_and_nothing_else(tmp_path: Path) -> None:
    sent = file(tmp_path, "a.zip")
    folder = tmp_path / "in"
    old, older = [inbox.put(place(folder), sent) for _ in range(2)]
    for path in (old, older):
        os.utime(path, (time.time() - 15 * DAY,) * 2)
    theirs = file(folder, "upload-of-last-year.zip", age=timedelta(days=400))
    assert await names(place(folder, upload_days=20)) != []
    assert old.exists()
    await names(place(folder))
    assert (old.exists(), older.exists(), theirs.exists()) == (False, True, True), "the newest stays until there is one"
    newest = inbox.put(place(folder), sent)
    assert {path.name for path in folder.iterdir()} == {newest.name, theirs.name}


def test_an_upload_that_would_never_be_read_is_refused(tmp_path: Path) -> None:
    sent = file(tmp_path, "a.csv")
    with pytest.raises(ConfigError) as caught:
        inbox.put(place(tmp_path / "in" / "roster*.zip"), sent)
    assert caught.value.code == "upload-not-read" and "roster*.zip" in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        inbox.put(place(tmp_path / "in"), sent)
    assert caught.value.code == "upload-not-read" and "*.zip" in str(caught.value)
    assert not (tmp_path / "in").exists()
    assert inbox.put(place(tmp_path / "in" / "*.csv"), sent).exists()


def test_an_upload_needs_a_folder(tmp_path: Path) -> None:
    sent = file(tmp_path, "a.zip")
    for settings in (place(sent), place("sftp://u@example.org/out", sftp_password="p")):
        with pytest.raises(ConfigError) as caught:
            inbox.put(settings, sent)
        assert caught.value.code == "upload-no-folder"
    with pytest.raises(ConfigError) as caught:
        inbox.put(place(tmp_path / "in"), tmp_path / "nothing.zip")
    assert caught.value.code == "upload-failed"
    assert list((tmp_path / "in").iterdir()) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"path": "https://example.org/x.zip"}, "sftp://user@host/folder"),
        ({"path": "sftp://example.org/out"}, "sftp://user@host/folder"),
        ({"path": "sftp://u@example.org:99999/out", "sftp_password": "hunter2"}, "sftp://user@host/folder"),
        ({"path": "sftp://u:hunter2@example.org/out"}, "leave the password out"),
        ({"path": "sftp://u@example.org/out"}, "sftp_password or sftp_key"),
        ({"path": "sftp://u@example.org/out", "sftp_password": "hunter2", "sftp_key": "k"}, "not both"),
    ],
)
def test_settings_that_cannot_work_are_refused_without_a_value(given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validated(PlaceSettings, {"student_identifier": "x", "staff_identifier": "x"} | given)
    assert said in caught.value.message
    assert "hunter2" not in str(caught.value)
