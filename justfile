# Shorthands. Nothing needs just: each recipe is one command that CONTRIBUTING.md explains.

# Words with blanks in them stay one word: just bench --rows "pass 1 KB"
set positional-arguments := true

# What there is.
default:
    @just --list

# All tests, or those whose name contains the words given: just test documents::
test *filter:
    cargo test "$@"

# What must pass before a change is merged.
gate:
    .ci/run

# The cost of a request, beside other proxies (needs wrk and taskset): just bench --rounds 3
bench *arguments:
    cargo bench --bench peers -- "$@"

# What polls of a whole history cost: just bench-polling "50 MB, first"
bench-polling *rows:
    cargo bench --bench polling -- "$@"

# The scanner, the path from a job to its entry, and the reading of a list, by themselves.
bench-micro:
    cargo bench --bench micro

# Fuzzes each target, or those given, for so many seconds (needs cargo-fuzz).
fuzz seconds="60" *targets:
    fuzz/run "$@"

# Tests the page in a real browser, and takes the picture in the documents anew.
page:
    JOBSHIM_PINS=write cargo test --test it -- page:: documents::picture::

# Takes over meant changes of pinned names, help, and generated documents; look at the diff.
pins:
    JOBSHIM_PINS=write cargo test --test it -- pins:: config::documents
