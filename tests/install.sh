#!/usr/bin/env bash
# `cargo install --path .` on a machine that has Rust and a C compiler and nothing else: no other program can be found
# while it runs. Nothing that was built before is used; for speed it is a debug build.
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

mkdir "$scratch/bin"
# A C compiler is a handful of programs.
for program in cargo rustc cc gcc as ld ar; do
    found=$(command -v "$program") || { echo "FAILED: no $program here"; exit 1; }
    # rustup's stand-ins look at the name by which they are called.
    ln -s "$found" "$scratch/bin/$program"
done

env -i HOME="$HOME" ${CARGO_HOME:+CARGO_HOME="$CARGO_HOME"} ${RUSTUP_HOME:+RUSTUP_HOME="$RUSTUP_HOME"} \
    PATH="$scratch/bin" CARGO_TARGET_DIR="$scratch/target" \
    "$scratch/bin/cargo" install --path "$repository" --locked --debug --root "$scratch/installed"

version=$("$scratch/installed/bin/jobshim" --version)
[ "$version" = "jobshim $(sed -n 's/^version = "\(.*\)"/\1/p' "$repository/Cargo.toml" | head -n 1)" ]
# Man pages and completions are made beside the build, as docs/deploying.md says.
for page in man/man1/jobshim.1 bash-completion/completions/jobshim.bash; do
    [ -s "$scratch/target/debug/share/$page" ] || { echo "FAILED: no $page"; exit 1; }
done
echo "ok: $version is installed with nothing but Rust and a C compiler"
