"""A folder, here or at an SFTP server, for a system that takes files: plans as PDF, a manifest, a list of flags."""

from connectors.document_drop.settings import DocumentDropSettings
from connectors.document_drop.sink import open_sink
from gateway.connector import Connector

CONNECTOR = Connector(
    name="document_drop",
    title="Document drop (PDF and lists into a folder or SFTP)",
    settings=DocumentDropSettings,
    auth=lambda settings: None,
    open_sink=open_sink,
    keeps_roster=False,
    place="files",
)
