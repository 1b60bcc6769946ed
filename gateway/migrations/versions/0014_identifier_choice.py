"""Which of a connection's identifier systems says who somebody is, where its setting leaves a choice."""

from gateway.migrations import adding

revision = "0014"
down_revision = "0013"

# `system` is the one in force: people were recognised by it. `rates`: how many had a number of each system, and how
# many were recognised by it, when that was last counted. `since`: the run that chose it.
STATEMENTS = """
CREATE TABLE identifier_choice (
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    connection_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    population text NOT NULL,
    system text NOT NULL,
    people bigint NOT NULL DEFAULT 0,
    rates json NOT NULL DEFAULT '[]',
    since bigint NOT NULL,
    PRIMARY KEY (connection_id, population)
);

-- Of each connection and population the system in force; before the first run the first that the setting names.
CREATE VIEW number_system WITH (security_invoker = true) AS
SELECT n.district_id, n.id AS connection_id, p.population,
       split_part(s.system, ' @ ', 1) AS name, split_part(s.system, ' @ ', 2) AS assigned_by
FROM connection n CROSS JOIN (VALUES ('student'), ('staff')) p (population)
LEFT JOIN identifier_choice i ON i.connection_id = n.id AND i.population = p.population
CROSS JOIN LATERAL (
    SELECT coalesce(i.system, trim(split_part(n.settings->>(p.population || '_identifier'), ';', 1))) AS system) s;
GRANT SELECT ON number_system TO planbridge_app;
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("identifier_choice",))
