"""What a zip from outside may hold: nothing that unpacks to more than any district has, nothing that plays tricks."""

import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.errors import ConfigError

LONGEST_FILE = 8 * 1024**3  # bytes unpacked; ten million results are about 1.5 GB
LARGEST = 16 * 1024**3  # bytes unpacked, of all files
ENTRIES = 1_000  # a OneRoster package has 21 files
RATIO = 200  # rows of a district take a tenth of their length; a file of zeros a thousandth
FREE_OF_RATIO = 64 * 1024**2  # bytes: what is smaller does no harm, however well it packs
_PACKED = re.compile(r"\.(zip|zipx|7z|rar|gz|bz2|xz|zst|tar|tgz)", re.IGNORECASE)


def opened(path: Path) -> zipfile.ZipFile:
    """A zip whose table of contents was looked at; nothing is unpacked. ConfigError where it is refused, and what
    zipfile raises where it is none.

    What an entry says of its length binds: zipfile reads no further, and calls it broken if it was a lie.
    """
    opened = zipfile.ZipFile(path)
    try:
        _check(opened, path)
    except BaseException:
        opened.close()
        raise
    return opened


@contextmanager
def damage(name: str) -> Iterator[None]:
    """What a broken or unreadable file raises, as a ConfigError."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise ConfigError(
            "csv-cannot-be-read",
            f"{name} cannot be read: {getattr(error, 'strerror', None) or error}.",
            "Check that the path is right, that this computer may read it, and that the upload was complete.",
        ) from error


def _check(opened: zipfile.ZipFile, path: Path) -> None:
    entries = opened.infolist()
    if len(entries) > ENTRIES:
        raise _unsafe(f"{path.name} has {len(entries)} entries", "a package has one for each of its files")
    seen: set[str] = set()
    for entry in entries:
        _check_name(entry.orig_filename)
        if entry.filename.casefold() in seen:
            raise _unsafe(f"{entry.filename} is in {path.name} twice", "nobody can know which of them counts")
        seen.add(entry.filename.casefold())
        if entry.flag_bits & 1:
            raise ConfigError("csv-encrypted", f"{entry.filename} is encrypted.", "Give a package without a password.")
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _unsafe(f"{entry.filename} is a link", "its content lies elsewhere")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _unsafe(f"{entry.filename} is packed in an unusual way", "a plain zip is read everywhere")
        if _PACKED.fullmatch(Path(entry.filename).suffix):
            raise _unsafe(f"{entry.filename} is packed itself", "the files must be in the zip as they are")
        _check_size(entry.filename, entry.file_size, entry.compress_size, LONGEST_FILE)
    # Against the file as it is: entries may share the same packed bytes.
    _check_size(path.name, sum(entry.file_size for entry in entries), path.stat().st_size, LARGEST)


def _check_name(name: str) -> None:
    """Nothing is unpacked under these names; whoever writes such a one is up to no good, or works on Windows."""
    if name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name):
        raise _unsafe(f"An entry is named {name!r}", "it leads out of the package")
    if "\\" in name or any(ord(sign) < 32 for sign in name):
        raise _unsafe(f"An entry is named {name!r}", "a file name has no such signs")


def _check_size(name: str, unpacked: int, packed: int, limit: int) -> None:
    if unpacked > limit:
        raise ConfigError(
            "csv-too-large",
            f"{name} would unpack to {unpacked / 1024**3:.0f} GB.",
            "No district has so many rows: ask the sender what it is.",
        )
    if unpacked > FREE_OF_RATIO and unpacked > RATIO * packed:
        raise ConfigError(
            "csv-too-large",
            f"{name} would unpack to {unpacked // max(packed, 1)} times its size.",
            "No list of people packs so well: ask the sender what it is.",
        )


def _unsafe(what: str, why: str) -> ConfigError:
    return ConfigError("csv-unsafe-zip", f"{what}: {why}.", "Ask the sender to pack the files again as a plain zip.")
