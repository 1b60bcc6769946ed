"""The whole life of a plan: where its newest version stands, when time moves it, and events that can be replayed."""

from gateway.migrations import adding

revision = "0016"
down_revision = "0015"

# standing: the state of the newest finalized version, also while the next one is being written. due_on: the day on
# which time alone moves it. outcome: with which it was closed. A plan of before enters its history with all it says;
# what it said earlier is known of its finalized versions only.
STATEMENTS = """
ALTER TABLE plan ADD standing text, ADD due_on date, ADD outcome text;
CREATE INDEX ON plan (due_on) WHERE due_on IS NOT NULL;

UPDATE plan p SET standing = 'finalized', due_on = CAST(CAST(v.content AS json)->>'period_start' AS date)
FROM (SELECT DISTINCT ON (plan_id) plan_id, content FROM plan_version ORDER BY plan_id, version DESC) v
WHERE v.plan_id = p.id;

INSERT INTO plan_event (district_id, plan_id, act, actor, detail)
SELECT p.district_id, p.id, 'carried', json_build_object('name', 'Planbridge', 'role', 'system'),
    json_strip_nulls(json_build_object('from', p.state, 'to', p.state, 'standing', p.standing,
        'revision', p.revision, 'set', p.content, 'version', max(v.version)))
FROM plan p LEFT JOIN plan_version v ON v.plan_id = p.id GROUP BY p.id ORDER BY p.created_at;
"""


def upgrade() -> None:
    adding.apply(STATEMENTS)
