"""How secrets rest: MultiFernet under keys from the environment or from a file only we can read."""

import hashlib
import hmac
import os
from base64 import urlsafe_b64decode
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from gateway.errors import ConfigError


class Secrets:
    """Encrypts with the first key, decrypts with any: a new key goes in front, the old one stays behind it."""

    def __init__(self, keys: list[str]) -> None:
        self._keys = keys
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except (ValueError, TypeError):
            raise ConfigError(
                "keys-unusable",
                "The encryption keys cannot be read.",
                "Each key of PLANBRIDGE_KEYS or of the key file must be a Fernet key (44 characters, base64).",
            ) from None

    @classmethod
    def load(cls, keys: str | None, home: Path) -> "Secrets":
        """Keys given as text (comma separated), else the file `keys` in home, made on first use."""
        if keys:
            return cls([key.strip() for key in keys.split(",") if key.strip()])
        path = home / "keys"
        if not path.exists():
            home.mkdir(parents=True, exist_ok=True)
            _write_once(path, Fernet.generate_key())
        return cls(path.read_text(encoding="ascii").split())

    def seal(self, plain: bytes) -> bytes:
        return self._fernet.encrypt(plain)

    def open(self, sealed: bytes) -> bytes:
        try:
            return self._fernet.decrypt(bytes(sealed))
        except InvalidToken:
            raise ConfigError(
                "keys-do-not-fit",
                "What is stored was encrypted with another key.",
                "Put the key that was used before behind the present one, in PLANBRIDGE_KEYS or the key file.",
            ) from None

    def derived(self, purpose: str) -> dict[str, bytes]:
        """A key for keyed hashes of this purpose from each of ours, the first one for new hashes: name -> key.

        The name tells which key made a hash, and nothing about the key.
        """
        keys = [hmac.digest(urlsafe_b64decode(key), f"planbridge/{purpose}".encode(), "sha256") for key in self._keys]
        return {hashlib.sha256(key).hexdigest()[:8]: key for key in keys}


def _write_once(path: Path, key: bytes) -> None:
    """Another process may be doing the same: whoever creates the file first has made the key."""
    draft = path.with_name(f"keys.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(key + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
