#!/usr/bin/env bash
# Runs the tests of legacy calls with three jobshims in the place of each, which share a Valkey and take turns.
set -euo pipefail
cd "$(dirname "$0")/.."

alone=(
    # These count the calls of one process, or look into its memory, its folder or its address.
    legacy::requests::credentials_decide_and_a_wrong_key_is_the_servers_401
    legacy::corpus_v2::comfy_api_v2_reads_as_recorded_but_for_what_it_does_not_tell
    legacy::reused::one_entry_is_remembered_again_once_the_run_that_was_submitted_is_the_one_shown
    legacy::reused_hidden::what_an_earlier_version_stored_as_hidden_stays_hidden
    legacy::surfaces::a_class_is_asked_for_once
    legacy::writes::touched::answers_to_writes_carry_the_servers_cors_headers_and_cancels_the_clients_credentials
    proxy::prompt::learnt::a_note_is_dropped_once_the_job_itself_tells_it
    proxy::prompt::passage::a_body_over_the_limit_is_streamed_and_a_slow_server_holds_the_client_back
    proxy::session::the_same_script_runs_whole_on_the_cloud_and_its_key_is_seen_by_the_cloud_alone
    # What a list tells one of a job that was submitted past all of them, the others hear when they list.
    legacy::reused::lists_see_by_creation_and_end_that_a_run_is_another_one_whoever_submitted_it
    # Nobody waits any more who could be told; the others hear of it a moment later.
    legacy::reused::a_submission_whose_answer_nobody_saw_ends_what_is_remembered_of_its_id_too
    # It measures memory.
    legacy::kept::many
)
skips=()
for test in "${alone[@]}"; do
    skips+=(--skip "$test")
done
JOBSHIM_TEST_REPLICAS=3 cargo test --locked --test it -- \
    legacy::hidden legacy::writes legacy::corpus legacy::reused legacy::hollow legacy::requests legacy::surfaces legacy::kept \
    proxy::prompt proxy::session "${skips[@]}"
