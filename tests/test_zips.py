"""What a zip from outside may hold."""

import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import zips
from gateway.errors import ConfigError

MEGABYTE = 1024**2


def zipped(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        for name, content in entries:
            made.writestr(name, content, method)
    return path


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def twice(path: Path) -> Path:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zipped(path, ("users.csv", b"a"), ("users.csv", b"b"))


def lying(path: Path, *, length: int) -> Path:
    """A zip whose table of contents says another length than its entry has."""
    zipped(path, ("users.csv", b"x" * 5000))
    whole = bytearray(path.read_bytes())
    central = whole.rindex(b"PK\x01\x02")
    whole[central + 24 : central + 28] = length.to_bytes(4, "little")
    path.write_bytes(whole)
    return path


def shared(path: Path) -> Path:
    """Many entries that are the same packed bytes: 10 MB of them would unpack to terabytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("0.csv", bytes(range(256)) * 4 * 4096)
        first = made.infolist()[0]
        for n in range(1, 200):
            entry = zipfile.ZipInfo(f"{n}.csv")
            for each in ("compress_type", "CRC", "compress_size", "file_size", "header_offset", "flag_bits"):
                setattr(entry, each, getattr(first, each))
            made.filelist.append(entry)
        made._didModify = True  # type: ignore[attr-defined]
    return path


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a file of zeros": (lambda p: zipped(p, ("users.csv", bytes(80 * MEGABYTE))), "csv-too-large"),
    "many files that are one": (shared, "csv-too-large"),
    "a length no district has": (lambda p: lying(p, length=2**32 - 2), "csv-too-large"),
    "far too many entries": (lambda p: zipped(p, *((f"{n}.csv", b"") for n in range(1001))), "csv-unsafe-zip"),
    "a zip in the zip": (lambda p: zipped(p, ("more.ZIP", b"")), "csv-unsafe-zip"),
    "a packed file": (lambda p: zipped(p, ("users.csv.gz", b"")), "csv-unsafe-zip"),
    "a way up": (lambda p: zipped(p, ("export/../../users.csv", b"")), "csv-unsafe-zip"),
    "a way up on Windows": (lambda p: zipped(p, ("..\\users.csv", b"")), "csv-unsafe-zip"),
    "an absolute path": (lambda p: zipped(p, ("/etc/passwd", b"")), "csv-unsafe-zip"),
    "a drive": (lambda p: zipped(p, ("C:users.csv", b"")), "csv-unsafe-zip"),
    "a line break in a name": (lambda p: zipped(p, ("users\n.csv", b"")), "csv-unsafe-zip"),
    "a link": (lambda p: zipped(p, (link("users.csv"), b"/etc/passwd")), "csv-unsafe-zip"),
    "one name twice": (twice, "csv-unsafe-zip"),
    "one name twice but for capitals": (lambda p: zipped(p, ("a.csv", b""), ("A.csv", b"")), "csv-unsafe-zip"),
    "an unusual packing": (lambda p: zipped(p, ("a.csv", b"x"), method=zipfile.ZIP_LZMA), "csv-unsafe-zip"),
}


@pytest.mark.parametrize("trick", REFUSED)
def test_a_trick_is_refused_before_anything_is_unpacked(tmp_path: Path, trick: str) -> None:
    make, code = REFUSED[trick]
    with pytest.raises(ConfigError) as caught:
        zips.opened(make(tmp_path / "package.zip"))
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)


def test_the_total_is_limited_beside_each_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "package.zip", *((f"{n}.csv", b"x" * 1000) for n in range(5)))
    monkeypatch.setattr(zips, "LARGEST", 4_999)
    with pytest.raises(ConfigError) as caught:
        zips.opened(path)
    assert caught.value.code == "csv-too-large"


@pytest.mark.parametrize("length", [4000, 6000])
def test_what_an_entry_says_of_its_length_binds(tmp_path: Path, length: int) -> None:
    with zips.opened(lying(tmp_path / "package.zip", length=length)) as opened, opened.open("users.csv") as entry:
        with pytest.raises((zipfile.BadZipFile, EOFError)):
            while block := entry.read(1000):
                assert len(block) <= length
            raise EOFError("it ended early")


def test_what_a_district_sends_is_opened(tmp_path: Path) -> None:
    rows = "".join(f"enr-{n},,,cls-{n % 977},sch-1,stu-{n * 7919 % 99991},student,,,\n" for n in range(100_000))
    path = zipped(
        tmp_path / "package.zip",
        ("export/", b""),
        ("export/enrollments.csv", rows.encode()),
        ("export/users.csv", b"," * 20 * MEGABYTE),
        ("__MACOSX/export/._users.csv", b"\0"),
    )
    with zips.opened(path) as opened:
        assert len(opened.infolist()) == 4
