# Shorthands. Nothing needs just: each recipe is one command that CONTRIBUTING.md explains.

python := if os_family() == "windows" { "python" } else { "python3" }

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

# Formatting and lints, of all that is built.
lint:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings
    cargo clippy --all-targets --locked --features otel -- -D warnings

# Licences, sources and advisories of dependencies (needs cargo-deny).
deny:
    cargo deny check

# This system's wheel, or another's by maturin's --target (needs maturin, and on Linux wheel): just wheel dist
wheel folder="dist" *arguments:
    packaging/wheel "$@"

# The sources, from which pip can build a wheel where there is none (needs maturin).
sdist folder="dist":
    maturin sdist --out "$1"

# The archive of a wheel, its list of parts, and their checksums: just archive dist/*.whl
archive wheel folder="dist":
    {{ python }} packaging/archive.py "$1" "$2"

# The Homebrew formula of the archives in a folder.
formula folder="dist":
    @{{ python }} packaging/formula.py "$1"

# What CHANGELOG.md says of a release, if it may be made: just notes v0.1.0
notes tag:
    @{{ python }} packaging/notes.py "$1"

# Uploads the node for ComfyUI to its registry (needs comfy-cli, and REGISTRY_TOKEN).
publish-node:
    cd integrations/comfyui && comfy --skip-prompt --no-enable-telemetry node publish --token "$REGISTRY_TOKEN"

# Builds and uploads the image for this machine's processor, with its provenance and its parts: just image NAME:TAG
image tag:
    docker buildx build --provenance mode=max --sbom true --push --tag "$1" .

# One image for the processors of several: just join-images NAME:1.0 NAME:1.0-amd64 NAME:1.0-arm64
join-images tag *tags:
    docker buildx imagetools create --tag "$@"

# Writes the repository's address wherever it is named: just repository https://github.com/YOU/jobshim
repository url:
    {{ python }} packaging/repository.py "$1"

# The wheel, the archive and the node for ComfyUI as users get them; then the files by which releases are made.
packages:
    tests/wheel.py
    tests/release.py
