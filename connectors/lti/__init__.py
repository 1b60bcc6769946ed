"""A platform that opens our tool by LTI 1.3."""

from connectors.lti.settings import LtiSettings
from gateway.connector import Connector

CONNECTOR = Connector(
    name="lti",
    title="LTI 1.3 platform (Moodle, Canvas, Schoology, Brightspace and others)",
    settings=LtiSettings,
    auth=lambda settings: None,
    keeps_roster=False,
)
