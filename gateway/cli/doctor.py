"""The command `doctor`: everything that support would ask about an installation, in plain findings."""

import asyncio
import os
import platform
import shutil
import ssl
import stat
import sys
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import typer
from cryptography import x509

import gateway
from gateway import clock
from gateway.cli.checks import print_findings
from gateway.cli.output import Json, show
from gateway.cli.service import refuse_open_address
from gateway.connector import Finding
from gateway.errors import ConfigError, PlanbridgeError
from gateway.settings import Settings
from gateway.status import late
from gateway.store import condition
from gateway.store.condition import OLDEST, Condition, Content
from gateway.store.purge_file import Purged, PurgeFile
from gateway.store.secrets import Secrets

SOMETHING_TO_DO, CANNOT_LOOK = 1, 2
GIGABYTE = 1_000_000_000
LEAST_ROOM = 2 * GIGABYTE
CLOCKS_APART = timedelta(seconds=30)
BACKUP_EVERY = timedelta(days=8)
CERTIFICATE_SOON = timedelta(days=21)


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(as_json: Json = False) -> None:
    """Look at this installation and say what is right, what is wrong and what to do. Starts and changes nothing, and
    shows no secret. Ends with 0 when all is right, 1 when something is to be done, 2 when the settings cannot be read
    or the database cannot be looked at."""
    findings, looked = asyncio.run(asyncio.to_thread(_examined))
    if as_json:
        show([vars(finding) for finding in findings], True)
    else:
        print_findings(findings)
    if not looked:
        raise typer.Exit(CANNOT_LOOK)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(SOMETHING_TO_DO)


def _examined() -> tuple[list[Finding], bool]:
    """What was seen, and whether the database could be looked at."""
    findings = list(_program())
    try:
        settings = Settings()
    except ConfigError as error:
        return [*findings, _wrong(error)], False
    findings += [*_home(settings), *_address(settings)]
    found = None
    try:
        found = condition.read(settings)
    except PlanbridgeError as error:
        findings.append(_wrong(error))
    content = found.content if found else None
    findings += [*_keys(settings, content), *_purges(settings, content)]
    if found:
        findings += of_database(found)
    if content:
        findings += [*of_work(content), *of_mail(settings, content), *of_backups(settings, content)]
    return findings, found is not None


def _wrong(error: PlanbridgeError) -> Finding:
    return Finding(False, error.message, f"{error.fix} [{error.code}]".strip())


def _program() -> Iterator[Finding]:
    python = platform.python_version()
    yield Finding(
        sys.version_info >= (3, 11),
        f"Planbridge {gateway.__version__} on Python {python}, {platform.system()} {platform.machine()}.",
        "" if sys.version_info >= (3, 11) else "It needs Python 3.11 or newer.",
    )


# --- this machine ---------------------------------------------------------------------------------------------


def _home(settings: Settings) -> Iterator[Finding]:
    home = settings.home
    try:
        found = home.stat() if home.exists() else None
        usable = found is not None and stat.S_ISDIR(found.st_mode) and os.access(home, os.R_OK | os.W_OK | os.X_OK)
    except OSError:
        found, usable = None, False
    if found is None:
        fix = "The first command makes it; if you expected one, check PLANBRIDGE_HOME."
        yield Finding(False, f"The home folder {home} is not there.", fix)
    elif not usable:
        fix = "Run as the account that Planbridge runs under, or correct PLANBRIDGE_HOME."
        yield Finding(False, f"The home folder {home} cannot be used by this account.", fix)
    elif found.st_mode & 0o022:
        yield Finding(False, f"Others can write into the home folder {home}.", f"chmod 700 {home}")
    else:
        yield Finding(True, f"The home folder is {home}.")
    places = {"home folder": home}
    if settings.database_url is None:
        places["database"] = home / "postgres" / "cluster"
    for what, free in {what: _free(place) for what, place in places.items()}.items():
        yield Finding(
            free >= LEAST_ROOM,
            f"{free / GIGABYTE:.1f} GB are free where the {what} is.",
            "" if free >= LEAST_ROOM else "Make room: a full disk stops every pull.",
        )


def _free(place: Path) -> int:
    """Bytes free at a place, or where it would be made."""
    place = place.resolve()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _keys(settings: Settings, content: Content | None) -> Iterator[Finding]:
    path = settings.home / "keys"
    where = "PLANBRIDGE_KEYS" if settings.keys else str(path)
    try:
        if settings.keys:
            keys = [key.strip() for key in settings.keys.get_secret_value().split(",") if key.strip()]
        elif path.exists():
            keys = path.read_text(encoding="ascii").split()
        else:
            keys = []
        if not keys:
            if content and content.sealed:
                fix = "Bring them back from where you keep them apart; without them enter every credential again."
                yield Finding(False, f"The encryption keys are gone: there is no {where}.", fix)
            return
        secrets = Secrets(keys)
        if content and content.sealed:
            secrets.open(content.sealed)
    except PlanbridgeError as error:
        yield _wrong(error)
        return
    except (OSError, ValueError):
        yield Finding(False, f"The encryption keys in {where} cannot be read.", "Correct the file or its owner.")
        return
    if not settings.keys and (private := _readable_by_others(path)):
        yield private
    else:
        fits = " They open what is stored." if content and content.sealed else ""
        yield Finding(True, f"The encryption keys are in {where}.{fits} Keep a copy apart from the database.")


def _readable_by_others(path: Path) -> Finding | None:
    if sys.platform != "win32" and path.stat().st_mode & 0o077:
        return Finding(False, f"Others can read {path}.", f"chmod 600 {path}")
    return None


def _purges(settings: Settings, content: Content | None) -> Iterator[Finding]:
    path = settings.purges or settings.home / "purges.jsonl"
    try:
        known = {line.id for line in PurgeFile(path).read() if isinstance(line, Purged)}
        private = _readable_by_others(path) if path.exists() else None
    except PlanbridgeError as error:
        yield _wrong(error)
        return
    except OSError as error:
        yield Finding(False, f"The file of purges {path} cannot be read: {error.strerror}.", "Correct its rights.")
        return
    if content and (missing := content.purges - known):
        fix = "Bring it back from its copy; the next start writes what the database knows into it."
        yield Finding(False, f"The file of purges {path} lacks purges that the database knows: {len(missing)}.", fix)
    elif content and (undone := known - content.purges):
        fix = "Any other command purges again."
        yield Finding(False, f"The database does not know purges that stand in {path}: {len(undone)}.", fix)
    elif private:
        yield private
    elif path.exists():
        yield Finding(True, f"The file of purges {path} has {len(known)}. Keep a copy apart from the database.")


# --- how others reach it --------------------------------------------------------------------------------------


def _address(settings: Settings) -> Iterator[Finding]:
    wrong = [*_listening(settings), *_certificate(settings), *_public(settings)]
    yield from wrong
    if not wrong:
        by = "TLS of its own" if settings.tls_certificate else ""
        by = by or (f"the proxy {settings.trusted_proxy}" if settings.trusted_proxy else "this machine only")
        yield Finding(True, f"The API is {settings.address}, by {by}.")


def _listening(settings: Settings) -> Iterator[Finding]:
    try:
        refuse_open_address(settings)
    except ConfigError as error:
        yield _wrong(error)


def _certificate(settings: Settings) -> Iterator[Finding]:
    if settings.tls_certificate is None:
        if settings.tls_key is not None:
            fix = "Set PLANBRIDGE_TLS_CERTIFICATE too, or neither."
            yield Finding(False, "A TLS key is named and no certificate.", fix)
        return
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password="")
        ends = x509.load_pem_x509_certificates(settings.tls_certificate.read_bytes())[0].not_valid_after_utc
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        fix = "PLANBRIDGE_TLS_CERTIFICATE and PLANBRIDGE_TLS_KEY must be readable PEM files without a password."
        yield Finding(False, "The TLS certificate and its key cannot be read, or do not belong together.", fix)
        return
    if ends < clock.now() + CERTIFICATE_SOON:
        yield Finding(False, f"The TLS certificate ends on {ends:%Y-%m-%d}.", "Renew it, then start again.")


def _public(settings: Settings) -> Iterator[Finding]:
    encrypted = bool(settings.tls_certificate or settings.trusted_proxy)
    if settings.public_url is None:
        if encrypted:
            fix = "Set PLANBRIDGE_PUBLIC_URL to the address by which others reach the API."
            yield Finding(False, f"Links will name {settings.address}.", fix)
        return
    parts = urlsplit(settings.public_url)
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        fix = "Let a proxy or TLS of our own encrypt, and begin the address with https."
        yield Finding(False, f"The public address {settings.public_url} is not encrypted.", fix)
    elif parts.scheme == "https" and not encrypted:
        fix = "Name the proxy in PLANBRIDGE_TRUSTED_PROXY; until then what it forwards is refused."
        yield Finding(False, "The public address is https, and neither a proxy nor TLS of our own is configured.", fix)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


# --- the database ---------------------------------------------------------------------------------------------


def of_database(found: Condition) -> Iterator[Finding]:
    """What the database says about itself."""
    new_enough = found.version >= OLDEST
    fix = "" if new_enough else f"Use PostgreSQL {OLDEST} or newer."
    yield Finding(new_enough, f"The database answers: PostgreSQL {found.server}.", fix)
    if found.schema_fits:
        yield Finding(True, f"Its schema is {found.schema}, that of this program.")
    elif found.schema is None:
        yield Finding(False, "The database is empty.", "The first start makes the tables: planbridge up")
    elif found.schema_known:
        fix = "Back up, stop every process, start this version: it brings the schema up to date."
        yield Finding(False, f"The schema is {found.schema}, of an older version of Planbridge.", fix)
    else:
        fix = "Start the newer version of Planbridge that made it."
        yield Finding(False, f"The schema is {found.schema}, which this program does not know.", fix)
    if found.schema is not None:
        yield from _separation(found)
    apart = abs(found.clock_ahead)
    yield Finding(
        apart <= CLOCKS_APART,
        f"The clocks of this machine and of the database are {apart.total_seconds():.0f} seconds apart.",
        "" if apart <= CLOCKS_APART else "Let both keep time by NTP: times in messages and credentials depend on it.",
    )
    for name, value in found.unsafe.items():
        yield Finding(
            False, f"The database runs with {name} = {value} and may lose what it confirmed.", "Switch it on."
        )
    for name, (value, ours) in found.differing.items():
        fix = f"It was changed by hand; ALTER SYSTEM RESET {name} and a restart bring {ours!r} back."
        yield Finding(False, f"The database that Planbridge brings runs with {name} = {value!r}.", fix)


def _separation(found: Condition) -> Iterator[Finding]:
    if found.app_role:
        fix = "ALTER ROLE planbridge_app NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE, and ask who changed it."
        yield Finding(False, f"The role planbridge_app does not keep districts apart: {found.app_role}.", fix)
    if found.tables_without_policy:
        tables = ", ".join(found.tables_without_policy)
        fix = "ALTER TABLE ... ENABLE ROW LEVEL SECURITY, and ask who switched it off."
        yield Finding(False, f"Row-level security is off for {tables}.", fix)
    if not found.app_role and not found.tables_without_policy:
        yield Finding(True, "Districts are kept apart: the role planbridge_app cannot pass over row-level security.")


# --- the work -------------------------------------------------------------------------------------------------


def of_work(content: Content) -> Iterator[Finding]:
    """Whether somebody works, and what of."""
    if content.workers:
        yield Finding(True, f"Workers alive: {content.workers}.")
    else:
        heard = f"; the last was heard {content.last_heard:%Y-%m-%d %H:%M} UTC" if content.last_heard else ""
        yield Finding(False, f"No worker lives{heard}.", "Start one: planbridge up, or planbridge worker")
    if content.late_schedules:
        fix = "Workers look every ten seconds: see what their logs say, and start one if none lives."
        yield Finding(False, f"Schedules due for more than five minutes: {content.late_schedules}.", fix)
    if content.workers and content.last_retention and clock.now() - content.last_retention > timedelta(hours=3):
        fix = "It is due every hour: see what the workers' logs say."
        yield Finding(False, f"Retention last ran {content.last_retention:%Y-%m-%d %H:%M} UTC.", fix)
    silent = late(content.states)
    for state in silent:
        hours = state.silence.total_seconds() / 3600
        text = f"{state.name} ({state.district_name}) had no good sync for {hours:.0f} hours."
        yield Finding(False, text, "planbridge status says why.")
    for state in content.states:
        if state.failing_since:
            text = f"{state.name} ({state.district_name}) fails since {state.failing_since:%Y-%m-%d %H:%M} UTC"
            fix = f"What is wrong now: planbridge check {state.name}"
            yield Finding(False, f"{text}: {state.error_code}.", fix)
        if state.waits_for:
            codes = ", ".join(state.waits_for)
            text = f"{state.name} ({state.district_name}) waits for a person: {codes}."
            yield Finding(False, text, "planbridge status, then planbridge holds or planbridge check.")
    if content.states and not silent:
        yield Finding(True, f"Connections: {len(content.states)}, none silent for too long.")
    for district, name, day in content.ending:
        ended = "ended" if day < clock.now().date() else "end"
        fix = f"planbridge connections change {name} --set ... --secret-expires DATE"
        yield Finding(False, f"The credentials of {name} ({district}) {ended} on {day}.", fix)


def of_mail(settings: Settings, content: Content) -> Iterator[Finding]:
    """Whether anybody is told of anything."""
    mails = content.channels.get("email", 0)
    if not content.channels and content.states:
        yield Finding(False, "Nobody is told of holds, failures or silence.", "planbridge notices add-email ADDRESS")
    if mails and not settings.smtp_host:
        fix = "Set PLANBRIDGE_SMTP_HOST and PLANBRIDGE_SMTP_FROM."
        yield Finding(False, f"Notices go to {mails} e-mail addresses, and no mail server is configured.", fix)
    elif settings.smtp_host and not settings.smtp_from:
        fix = "Set PLANBRIDGE_SMTP_FROM to the address that notices come from."
        yield Finding(False, "A mail server is configured, and no sender.", fix)
    elif settings.smtp_host and settings.smtp_tls == "none" and not _is_loopback(settings.smtp_host):
        fix = "Set PLANBRIDGE_SMTP_TLS to starttls or tls."
        yield Finding(False, f"The line to the mail server {settings.smtp_host} is not encrypted.", fix)
    elif content.channels:
        told = ", ".join(f"{count} by {kind}" for kind, count in sorted(content.channels.items()))
        yield Finding(True, f"People are told: {told}. planbridge notices test tries it.")


def of_backups(settings: Settings, content: Content) -> Iterator[Finding]:
    """When the last backup was made, as far as Planbridge made it."""
    if not content.states:
        return
    made = content.last_backup
    if made and clock.now() - made <= BACKUP_EVERY:
        yield Finding(True, f"The last backup was made {made:%Y-%m-%d %H:%M} UTC.")
    elif settings.database_url is None:
        last = f"The last backup was made {made:%Y-%m-%d %H:%M} UTC." if made else "No backup was ever made."
        yield Finding(False, last, "planbridge backup FILE, every night, to another machine.")
    else:
        yield Finding(
            True, "No recent backup by Planbridge is known: those of your own server are yours to look after."
        )
