#!/usr/bin/env bash
# Runs the tests of legacy calls with three jobshims in the place of each, which share a Valkey and take turns.
set -euo pipefail
cd "$(dirname "$0")/.."

# These count the calls that one process makes, or look into its memory.
alone=(
    legacy::requests::credentials_decide_and_a_wrong_key_is_the_servers_401
    legacy::reused::lists_see_by_creation_and_end_that_a_run_is_another_one_whoever_submitted_it
    legacy::reused::one_entry_is_remembered_again_once_the_run_that_was_submitted_is_the_one_shown
)
skips=()
for test in "${alone[@]}"; do
    skips+=(--skip "$test")
done
JOBSHIM_TEST_REPLICAS=3 cargo test --locked --test it -- \
    legacy::hidden legacy::writes legacy::corpus legacy::reused legacy::hollow legacy::requests legacy::surfaces \
    proxy::prompt proxy::session "${skips[@]}"
