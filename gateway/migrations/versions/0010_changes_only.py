"""Pulls of what changed: how far each collection is published, and which pages do not tell what is gone."""

from gateway.migrations import adding

revision = "0010"
down_revision = "0008"

# `mark` is a text of the connector's own; `read_by` names the rules and settings by which it was read: by others,
# everything is read again. `whole_at`: when the last whole pull of it began that was published.
STATEMENTS = """
CREATE TABLE watermark (
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    connection_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    collection text COLLATE "C" NOT NULL,
    mark text NOT NULL,
    read_by text NOT NULL,
    whole_at timestamptz NOT NULL,
    PRIMARY KEY (connection_id, collection)
);

ALTER TABLE run_page ADD partial boolean NOT NULL DEFAULT false;
ALTER TABLE run ADD whole boolean NOT NULL DEFAULT false, ADD since json, ADD marks json, ADD read_by text;
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("watermark",))
