"""The only place that sends e-mail."""

from contextlib import suppress
from email.message import EmailMessage
from ipaddress import ip_address

import aiosmtplib

from gateway.errors import ConfigError, Unavailable
from gateway.settings import Settings

SECONDS = 20.0


async def send(settings: Settings, to: str, subject: str, text: str, message_id: str) -> None:
    """Hand one mail to the mail server of the settings. ConfigError where a person has to change something,
    Unavailable where trying again may help. A mail that is sent twice has the same `message_id`."""
    if settings.smtp_host is None or settings.smtp_from is None:
        raise ConfigError(
            "mail-not-configured",
            "No mail server is configured.",
            "Set PLANBRIDGE_SMTP_HOST and PLANBRIDGE_SMTP_FROM; docs/notices.md names the others.",
        )
    if settings.smtp_tls == "none" and not _is_here(settings.smtp_host):
        raise ConfigError(
            "mail-in-the-clear",
            f"The mail server {settings.smtp_host} is another machine; mail would reach it in the clear.",
            "Set PLANBRIDGE_SMTP_TLS to starttls or tls.",
        )
    mail = EmailMessage()
    mail["From"] = settings.smtp_from
    mail["To"] = to
    mail["Subject"] = " ".join(subject.split())
    domain = settings.smtp_from.rpartition("@")[2]
    mail["Message-ID"] = f"<{message_id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    mail.set_content(text)
    try:
        await aiosmtplib.send(
            mail,
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_user,
            password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
            use_tls=settings.smtp_tls == "tls",
            start_tls=settings.smtp_tls == "starttls",
            timeout=SECONDS,
            local_hostname=domain,  # else it asks the name service who we are, which may take long
        )
    except aiosmtplib.SMTPAuthenticationError:
        raise ConfigError(
            "mail-credentials",
            "The mail server does not accept our user name and password.",
            "Correct PLANBRIDGE_SMTP_USER and PLANBRIDGE_SMTP_PASSWORD.",
        ) from None
    except (aiosmtplib.SMTPResponseException, aiosmtplib.SMTPRecipientsRefused):
        raise ConfigError(
            "mail-refused",
            "The mail server refuses the mail.",
            "Check the address, and that the server takes mail from this machine and from PLANBRIDGE_SMTP_FROM.",
        ) from None
    except (aiosmtplib.SMTPException, OSError):
        raise Unavailable(
            "mail-unreachable",
            f"The mail server {settings.smtp_host}:{settings.smtp_port} cannot be reached, or broke off.",
            "Check PLANBRIDGE_SMTP_HOST, PLANBRIDGE_SMTP_PORT and PLANBRIDGE_SMTP_TLS, and the firewall.",
        ) from None


def _is_here(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host.casefold() == "localhost"
