"""Result files and the common schema: records in."""

from pathlib import Path

from connectors.assessment_files import models as wire
from gateway.mapping import Mapping
from mappings.assessment_files import results

MAPPING = Mapping(
    name="assessment_files",
    version="1",
    inbound={
        wire.Student: results.student,
        wire.Assessment: results.assessment,
        wire.Result: results.result,
    },
    crosswalks=Path(__file__).parent / "crosswalks",
)
