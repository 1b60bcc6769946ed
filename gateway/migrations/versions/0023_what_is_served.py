"""What the OneRoster provider serves, as typed rows of each collection, and how far they follow the change log."""

from gateway.migrations import adding

revision = "0023"
down_revision = "0021"

# One table per collection; its columns are those of gateway.served as it was then. `doc`: the record of 1.2 without its
# status and dateLastModified, which are `gone` and `at`; of a row that is gone nothing but its id. What a row that is
# gone was found by stays, so that whoever asked for it by that learns that it is gone. Texts are in lower case.
# `survivor`: into whom somebody was merged; `family_of`: by whose schools a member of a family has roles.
STATEMENTS = """
-- How far the rows of a district follow its changes, and up to which publication. `number` counts the projections that
-- changed a row, `at` is when the last one did; `again`: everything is looked at anew the next time; `restamp`: and
-- every row counts as changed; `failed_at`: the last try failed, by a fault of ours.
CREATE TABLE projection (
    district_id int PRIMARY KEY REFERENCES district ON DELETE CASCADE,
    xid xid8 NOT NULL DEFAULT '0',
    seq bigint NOT NULL DEFAULT 0,
    number bigint NOT NULL DEFAULT 0,
    at timestamptz,
    followed_at timestamptz,
    failed_at timestamptz,
    again boolean NOT NULL DEFAULT false,
    restamp boolean NOT NULL DEFAULT false,
    publication bigint NOT NULL DEFAULT 0
);

CREATE INDEX ON publication (district_id, id);

-- What is not served, or not wholly. `field` is what a record lacks; `target`: the entity that it refers to and that is
-- left out; `whole`: the record is left out for it.
CREATE TABLE served_gap (
    district_id int NOT NULL,
    collection text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    field text COLLATE "C" NOT NULL,
    target uuid,
    whole boolean NOT NULL
);
CREATE INDEX ON served_gap (entity_id);
CREATE INDEX ON served_gap (target) WHERE target IS NOT NULL;

-- Who may be named as whose family.
CREATE TABLE served_family (
    district_id int NOT NULL,
    relationship_id uuid NOT NULL,
    student_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    relation text COLLATE "C" NOT NULL,
    PRIMARY KEY (relationship_id, district_id)
);
CREATE INDEX ON served_family (student_id);
CREATE INDEX ON served_family (contact_id);

CREATE TABLE served_orgs (
    district_id int NOT NULL,
    sourced_id text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    gone boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL,
    doc json NOT NULL,
    name text COLLATE "C",
    type text COLLATE "C",
    identifier text COLLATE "C",
    parent_id text COLLATE "C",
    children_ids text[] COLLATE "C",
    PRIMARY KEY (district_id, sourced_id)
);
CREATE INDEX ON served_orgs (entity_id);
CREATE INDEX ON served_orgs (district_id, at);
CREATE INDEX ON served_orgs (parent_id, sourced_id);

CREATE TABLE served_academic_sessions (
    district_id int NOT NULL,
    sourced_id text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    gone boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL,
    doc json NOT NULL,
    title text COLLATE "C",
    start_date date,
    end_date date,
    type text COLLATE "C",
    parent_id text COLLATE "C",
    children_ids text[] COLLATE "C",
    school_year text COLLATE "C",
    PRIMARY KEY (district_id, sourced_id)
);
CREATE INDEX ON served_academic_sessions (entity_id);
CREATE INDEX ON served_academic_sessions (district_id, at);
CREATE INDEX ON served_academic_sessions (parent_id, sourced_id);

CREATE TABLE served_resources (
    district_id int NOT NULL,
    sourced_id text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    gone boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL,
    doc json NOT NULL,
    title text COLLATE "C",
    roles text[] COLLATE "C",
    importance text COLLATE "C",
    vendor_resource_id text COLLATE "C",
    vendor_id text COLLATE "C",
    application_id text COLLATE "C",
    PRIMARY KEY (district_id, sourced_id)
);
CREATE INDEX ON served_resources (entity_id);
CREATE INDEX ON served_resources (district_id, at);

CREATE TABLE served_courses (
    district_id int NOT NULL,
    sourced_id text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    gone boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL,
    doc json NOT NULL,
    title text COLLATE "C",
    school_year_id text COLLATE "C",
    course_code text COLLATE "C",
    grades text[] COLLATE "C",
    subjects text[] COLLATE "C",
    org_id text COLLATE "C",
    subject_codes text[] COLLATE "C",
    resources_ids text[] COLLATE "C",
    PRIMARY KEY (district_id, sourced_id)
);
CREATE INDEX ON served_courses (entity_id);
CREATE INDEX ON served_courses (district_id, at);
CREATE INDEX ON served_courses (school_year_id, sourced_id);
CREATE INDEX ON served_courses (org_id, sourced_id);

CREATE TABLE served_classes (
    district_id int NOT NULL,
    sourced_id text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    gone boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL,
    doc json NOT NULL,
    title text COLLATE "C",
    class_code text COLLATE "C",
    class_type text COLLATE "C",
    location text COLLATE "C",
    grades text[] COLLATE "C",
    subjects text[] COLLATE "C",
    course_id text COLLATE "C",
    school_id text COLLATE "C",
    terms_ids text[] COLLATE "C",
    subject_codes text[] COLLATE "C",
    periods text[] COLLATE "C",
    resources_ids text[] COLLATE "C",
    PRIMARY KEY (district_id, sourced_id)
);
CREATE INDEX ON served_classes (entity_id);
CREATE INDEX ON served_classes (district_id, at);
CREATE INDEX ON served_classes (course_id, sourced_id);
CREATE INDEX ON served_classes (school_id, sourced_id);

CREATE TABLE served_users (
    district_id int NOT NULL,
    sourced_id text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    gone boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL,
    doc json NOT NULL,
    user_master_identifier text COLLATE "C",
    username text COLLATE "C",
    user_ids_type text[] COLLATE "C",
    user_ids_identifier text[] COLLATE "C",
    enabled_user boolean,
    given_name text COLLATE "C",
    family_name text COLLATE "C",
    middle_name text COLLATE "C",
    preferred_first_name text COLLATE "C",
    preferred_middle_name text COLLATE "C",
    preferred_last_name text COLLATE "C",
    pronouns text COLLATE "C",
    roles_role text[] COLLATE "C",
    roles_role_type text[] COLLATE "C",
    roles_org_ids text[] COLLATE "C",
    primary_org_id text COLLATE "C",
    identifier text COLLATE "C",
    email text COLLATE "C",
    sms text COLLATE "C",
    phone text COLLATE "C",
    agents_ids text[] COLLATE "C",
    grades text[] COLLATE "C",
    password text COLLATE "C",
    resources_ids text[] COLLATE "C",
    roles_at text[] COLLATE "C",
    survivor text COLLATE "C",
    family_of uuid[],
    PRIMARY KEY (district_id, sourced_id)
);
CREATE INDEX ON served_users (entity_id);
CREATE INDEX ON served_users (district_id, at);
CREATE INDEX ON served_users (entity_id) WHERE gone;
CREATE INDEX ON served_users (primary_org_id, sourced_id);

CREATE TABLE served_demographics (
    district_id int NOT NULL,
    sourced_id text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    gone boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL,
    doc json NOT NULL,
    birth_date date,
    sex text COLLATE "C",
    american_indian_or_alaska_native boolean,
    asian boolean,
    black_or_african_american boolean,
    native_hawaiian_or_other_pacific_islander boolean,
    white boolean,
    demographic_race_two_or_more_races boolean,
    hispanic_or_latino_ethnicity boolean,
    country_of_birth_code text COLLATE "C",
    state_of_birth_abbreviation text COLLATE "C",
    city_of_birth text COLLATE "C",
    public_school_residence_status text COLLATE "C",
    survivor text COLLATE "C",
    PRIMARY KEY (district_id, sourced_id)
);
CREATE INDEX ON served_demographics (entity_id);
CREATE INDEX ON served_demographics (district_id, at);
CREATE INDEX ON served_demographics (entity_id) WHERE gone;

CREATE TABLE served_enrollments (
    district_id int NOT NULL,
    sourced_id text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    gone boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL,
    doc json NOT NULL,
    user_id text COLLATE "C",
    class_id text COLLATE "C",
    school_id text COLLATE "C",
    role text COLLATE "C",
    is_primary boolean,
    begin_date date,
    end_date date,
    PRIMARY KEY (district_id, sourced_id)
);
CREATE INDEX ON served_enrollments (entity_id);
CREATE INDEX ON served_enrollments (district_id, at);
CREATE INDEX ON served_enrollments (user_id, sourced_id);
CREATE INDEX ON served_enrollments (class_id, sourced_id);
CREATE INDEX ON served_enrollments (school_id, sourced_id);

CREATE TABLE served_categories (
    district_id int NOT NULL,
    sourced_id text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    gone boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL,
    doc json NOT NULL,
    title text COLLATE "C",
    weight double precision,
    PRIMARY KEY (district_id, sourced_id)
);
CREATE INDEX ON served_categories (entity_id);
CREATE INDEX ON served_categories (district_id, at);

CREATE TABLE served_score_scales (
    district_id int NOT NULL,
    sourced_id text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    gone boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL,
    doc json NOT NULL,
    title text COLLATE "C",
    type text COLLATE "C",
    course_id text COLLATE "C",
    class_id text COLLATE "C",
    score_scale_value_item_value_l_h_s text[] COLLATE "C",
    score_scale_value_item_value_r_h_s text[] COLLATE "C",
    PRIMARY KEY (district_id, sourced_id)
);
CREATE INDEX ON served_score_scales (entity_id);
CREATE INDEX ON served_score_scales (district_id, at);
CREATE INDEX ON served_score_scales (course_id, sourced_id);
CREATE INDEX ON served_score_scales (class_id, sourced_id);

CREATE TABLE served_line_items (
    district_id int NOT NULL,
    sourced_id text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    gone boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL,
    doc json NOT NULL,
    title text COLLATE "C",
    description text COLLATE "C",
    assign_date timestamptz,
    due_date timestamptz,
    class_id text COLLATE "C",
    school_id text COLLATE "C",
    category_id text COLLATE "C",
    grading_period_id text COLLATE "C",
    academic_session_id text COLLATE "C",
    score_scale_id text COLLATE "C",
    result_value_min double precision,
    result_value_max double precision,
    learning_objective_set_source text[] COLLATE "C",
    learning_objective_set_learning_objective_ids text[] COLLATE "C",
    PRIMARY KEY (district_id, sourced_id)
);
CREATE INDEX ON served_line_items (entity_id);
CREATE INDEX ON served_line_items (district_id, at);
CREATE INDEX ON served_line_items (class_id, sourced_id);
CREATE INDEX ON served_line_items (school_id, sourced_id);
CREATE INDEX ON served_line_items (category_id, sourced_id);
CREATE INDEX ON served_line_items (grading_period_id, sourced_id);
CREATE INDEX ON served_line_items (academic_session_id, sourced_id);
CREATE INDEX ON served_line_items (score_scale_id, sourced_id);

CREATE TABLE served_results (
    district_id int NOT NULL,
    sourced_id text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    gone boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL,
    doc json NOT NULL,
    line_item_id text COLLATE "C",
    student_id text COLLATE "C",
    class_id text COLLATE "C",
    score_scale_id text COLLATE "C",
    score_status text COLLATE "C",
    score double precision,
    text_score text COLLATE "C",
    score_date date,
    comment text COLLATE "C",
    learning_objective_set_source text[] COLLATE "C",
    learning_objective_set_learning_objective_results_learning_objective_id text[] COLLATE "C",
    learning_objective_set_learning_objective_results_text_score text[] COLLATE "C",
    in_progress boolean,
    incomplete boolean,
    late boolean,
    missing boolean,
    PRIMARY KEY (district_id, sourced_id)
);
CREATE INDEX ON served_results (entity_id);
CREATE INDEX ON served_results (district_id, at);
CREATE INDEX ON served_results (line_item_id, sourced_id);
CREATE INDEX ON served_results (student_id, sourced_id);
CREATE INDEX ON served_results (class_id, sourced_id);
CREATE INDEX ON served_results (score_scale_id, sourced_id);

CREATE TABLE served_assessment_line_items (
    district_id int NOT NULL,
    sourced_id text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    gone boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL,
    doc json NOT NULL,
    metadata_purpose text COLLATE "C",
    title text COLLATE "C",
    description text COLLATE "C",
    class_id text COLLATE "C",
    parent_assessment_line_item_id text COLLATE "C",
    score_scale_id text COLLATE "C",
    result_value_min double precision,
    result_value_max double precision,
    learning_objective_set_source text[] COLLATE "C",
    learning_objective_set_learning_objective_ids text[] COLLATE "C",
    PRIMARY KEY (district_id, sourced_id)
);
CREATE INDEX ON served_assessment_line_items (entity_id);
CREATE INDEX ON served_assessment_line_items (district_id, at);
CREATE INDEX ON served_assessment_line_items (class_id, sourced_id);
CREATE INDEX ON served_assessment_line_items (parent_assessment_line_item_id, sourced_id);
CREATE INDEX ON served_assessment_line_items (score_scale_id, sourced_id);

CREATE TABLE served_assessment_results (
    district_id int NOT NULL,
    sourced_id text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    gone boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL,
    doc json NOT NULL,
    assessment_line_item_id text COLLATE "C",
    student_id text COLLATE "C",
    score double precision,
    text_score text COLLATE "C",
    score_date date,
    score_scale_id text COLLATE "C",
    score_percentile double precision,
    score_status text COLLATE "C",
    comment text COLLATE "C",
    learning_objective_set_source text[] COLLATE "C",
    learning_objective_set_learning_objective_results_learning_objective_id text[] COLLATE "C",
    learning_objective_set_learning_objective_results_text_score text[] COLLATE "C",
    in_progress boolean,
    incomplete boolean,
    late boolean,
    missing boolean,
    PRIMARY KEY (district_id, sourced_id)
);
CREATE INDEX ON served_assessment_results (entity_id);
CREATE INDEX ON served_assessment_results (district_id, at);
CREATE INDEX ON served_assessment_results (assessment_line_item_id, sourced_id);
CREATE INDEX ON served_assessment_results (student_id, sourced_id);
CREATE INDEX ON served_assessment_results (score_scale_id, sourced_id);
"""

COLLECTIONS = (
    "served_orgs",
    "served_academic_sessions",
    "served_resources",
    "served_courses",
    "served_classes",
    "served_users",
    "served_demographics",
    "served_enrollments",
    "served_categories",
    "served_score_scales",
    "served_line_items",
    "served_results",
    "served_assessment_line_items",
    "served_assessment_results",
)


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("projection", "served_gap", "served_family", *COLLECTIONS))
