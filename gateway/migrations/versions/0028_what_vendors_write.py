"""What vendors write by OneRoster: each program has a connection of its own, and its records keep its names."""

from gateway.migrations import adding

revision = "0028"
down_revision = "0026"

# connection.client_id: whose writes come in by it; of other connections none. run.kind `write`: one request of a
# program. written: by which name, which is the writer's own key, a record is served that a program wrote.
STATEMENTS = """
ALTER TABLE connection ADD client_id text COLLATE "C" REFERENCES client;
CREATE UNIQUE INDEX ON connection (client_id) WHERE client_id IS NOT NULL;

ALTER TABLE run
    DROP CONSTRAINT run_kind_check,
    ADD CONSTRAINT run_kind_check CHECK (kind IN ('pull', 'replay', 'undo', 'decision', 'write'));
CREATE INDEX ON run (connection_id, id) WHERE kind = 'write';

CREATE VIEW written WITH (security_invoker = true) AS
SELECT l.district_id, l.connection_id, l.kind, l.entity_id, l.key AS sourced_id
FROM link l JOIN connection n ON n.id = l.connection_id
WHERE n.client_id IS NOT NULL AND l.method = 'first';
GRANT SELECT ON written TO planbridge_app;
"""


def upgrade() -> None:
    adding.apply(STATEMENTS)
