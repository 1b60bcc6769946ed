"""Moodle by its web services: a finished plan becomes a learning plan of its student."""

from connectors.moodle.settings import MoodleSettings
from connectors.moodle.sink import open_sink
from gateway.connector import Connector

CONNECTOR = Connector(
    name="moodle",
    title="Moodle (learning plans)",
    settings=MoodleSettings,
    # Its token stands in the form of each call: a bearer in a header is not read.
    auth=lambda settings: None,
    open_sink=open_sink,
    keeps_roster=False,
    place="lms",
)
