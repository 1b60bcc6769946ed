"""Result files of assessment vendors: MAP Growth, i-Ready, Star, DIBELS, FastBridge, or what a district describes."""

from connectors.assessment_files.files import ResultFiles, open_files
from connectors.assessment_files.models import RESOURCES
from connectors.assessment_files.settings import AssessmentFilesSettings
from gateway.connector import Connector
from gateway.http import Http
from gateway.inbox import Nothing


async def open_source(settings: AssessmentFilesSettings, http: Http) -> ResultFiles | Nothing:
    """The files that the settings name; nothing is asked over the network."""
    return await open_files(settings)


CONNECTOR = Connector(
    name="assessment_files",
    title="Result files of assessment vendors",
    settings=AssessmentFilesSettings,
    auth=lambda settings: None,
    open_source=open_source,
    resources=tuple(RESOURCES.values()),
    keeps_roster=False,
    limits={"person": {"recognised": 0.8}},
)
