"""Which test is which of the fourteen that an Ed-Fi connector is asked for, and of the disaster that is one more."""

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
HERE, TWIN, E2E = "connectors/test_edfi", "twins/test_edfi_twin", "e2e/test_edfi"
ACCEPTANCE = {
    "1 discovery of five shapes": [
        f"{HERE}_server::test_discovery_of_five_shapes",
        f"{HERE}_server::test_every_published_discovery_document_is_understood",
    ],
    "2 tokens: Basic, form, an end in the middle of a run, too many, two workers with one": [
        f"{HERE}_server::test_basic_comes_first_and_carries_the_scope",
        f"{HERE}_server::test_the_form_is_tried_once_and_remembered_by_the_next_worker",
        f"{HERE}_server::test_a_token_that_ends_in_the_middle_is_renewed_and_nothing_is_lost",
        f"{HERE}_server::test_too_many_tokens_is_left_until_later_and_says_why",
        f"{HERE}_server::test_two_workers_that_are_processes_share_one_token",
    ],
    "3 pages: offset, windows read backwards, tokens to the empty page, partitions, limits": [
        f"{HERE}::test_every_row_comes_once_whatever_the_size",
        f"{HERE}_reading::test_pages_are_read_from_the_last_to_the_first",
        f"{HERE}::test_tokens_lead_to_every_row_once",
        f"{HERE}::test_a_refused_limit_is_lowered_once",
        f"{HERE}::test_a_refused_page_size_is_lowered_in_every_chain",
        f"{HERE}_changes::test_pages_are_as_long_as_the_servers_documents_let_them_be",
    ],
    "4 what changed: all kinds, made anew, a mark that waits, a server that was set back": [
        f"{HERE}_changes::test_what_changed_makes_of_the_old_what_a_whole_pull_gives",
        f"{HERE}_changes::test_nothing_is_missed_while_the_server_changes",
        f"{E2E}_changes_only::test_what_was_deleted_and_made_anew_stays",
        f"{E2E}_changes_only::test_what_is_published_is_what_the_server_has_although_it_changes_while_it_is_read",
        "e2e/test_changes_only::test_what_a_held_run_brought_is_asked_for_again",
        f"{HERE}_changes::test_a_server_that_was_set_back_is_read_wholly",
    ],
    "5 POST answers 200 or 201, with an id of either form": [
        f"{HERE}::test_a_record_is_sent_as_it_is",
        f"{HERE}_terms::test_5_the_two_forms_of_an_id_are_both_understood",
    ],
    "6 errors of all forms": [
        f"{HERE}_refusals::test_refusals_of_every_form_become_one_plain_sentence",
        f"{HERE}_refusals::test_what_time_may_heal_is_no_refusal_and_says_what_to_do_too",
        f"{HERE}::test_other_answers_are_errors_that_say_what_to_do",
        f"{HERE}_refusals::test_every_answer_of_the_catalogues_has_its_reason_and_its_action_and_no_value",
    ],
    "7 409 waits for its parent; a new student is sent a second time": [
        f"{E2E}_writing::test_a_child_waits_for_its_parent_whatever_order_the_server_tells",
        f"{E2E}_writing::test_a_student_who_is_not_enrolled_there_yet_is_sent_once_with_each_run",
    ],
    "8 412 is merged again": [
        f"{HERE}_marker::test_8_who_was_faster_is_read_and_merged_again",
        f"{HERE}_marker::test_8_after_three_times_it_is_parked",
    ],
    "9 descriptors with spaces, #, a district's namespace": [
        f"{E2E}_writing::test_a_descriptor_the_host_lacks_is_asked_for_before_a_byte_is_sent",
        f"{HERE}::test_reading_back_gives_the_record_without_what_the_server_adds",
    ],
    "10 parents, contacts and what 6.0 split give the same student": [
        f"{E2E}_standards::test_the_same_facts_are_the_same_records_whatever_the_standard",
    ],
    "11 a plan: again nothing, an edit one POST, an end, over-long text": [
        "e2e/test_delivery::test_pushing_again_asks_nothing_of_the_destination",
        "e2e/test_delivery::test_a_new_version_sends_only_what_changed",
        "e2e/test_delivery::test_what_was_sent_is_ended_and_never_dropped_or_renamed",
        f"{HERE}_terms::test_a_text_over_the_servers_limit_is_lost_and_never_cut",
    ],
    "12 a marked enrollment keeps _ext and what is not known": [
        f"{HERE}_marker::test_12_every_other_property_goes_back_as_it_came",
    ],
    "13 an unknown property, or one in another spelling": [
        f"{HERE}_terms::test_13_what_the_server_would_drop_without_a_word_is_refused_before",
        f"{TWIN}_access::test_only_the_ed_fi_api_minds_the_case_of_names",
    ],
    "14 an address in discovery that leaves https": [
        f"{HERE}_server::test_a_discovery_address_that_leaves_https_is_refused",
    ],
    "disaster 18 the SIS overwrites our marker": ["e2e/test_verification::test_18_the_sis_writes_over_our_mark"],
}


@pytest.mark.parametrize("asked", ACCEPTANCE)
def test_each_has_its_tests(asked: str) -> None:
    missing = [name for name in ACCEPTANCE[asked] if name.partition("::")[2] not in named_in(name.partition("::")[0])]
    assert ACCEPTANCE[asked] and not missing


@cache
def named_in(module: str) -> frozenset[str]:
    tree = ast.parse((TESTS / f"{module}.py").read_text())
    return frozenset(one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
