"""A platform that opens our tool by LTI 1.3, and lets it tell of a plan in its gradebook."""

from connectors.lti.services import SCOPES
from connectors.lti.settings import LtiSettings
from connectors.lti.sink import open_sink
from gateway.connector import Connector
from gateway.http import SignedAssertion


def auth(settings: LtiSettings) -> SignedAssertion | None:
    """By what we sign; nothing where the platform has no services for us."""
    if not settings.token_url:
        return None
    return SignedAssertion(
        settings.token_url,
        settings.client_id,
        settings.tool_key.get_secret_value(),
        " ".join(SCOPES),
        settings.audience,
    )


CONNECTOR = Connector(
    name="lti",
    title="LTI 1.3 platform (Moodle, Canvas, Schoology, Brightspace and others)",
    settings=LtiSettings,
    auth=auth,
    open_sink=open_sink,
    keeps_roster=False,
    place="lms",
    writes=lambda settings: bool(settings.get("token_url")),
)
