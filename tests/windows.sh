#!/usr/bin/env bash
# jobshim on Windows: the code of that target is type-checked, or jobshim.exe is built and tried.
#
#   tests/windows.sh check    the types alone; without the target's std it says so, and that is no failure
#   tests/windows.sh          builds jobshim.exe (debug) and tries it by tests/windows.py
#
# std for x86_64-pc-windows-gnu comes by `rustup target add x86_64-pc-windows-gnu`, or is built from rust-src. C code, and the program
# itself, need mingw-w64 (x86_64-w64-mingw32-gcc). On Linux the program is run by wine.
#
# JOBSHIM_WINDOWS_RUN is the command that runs a jobshim.exe that is built already, such as "wine64 target/windows/jobshim.exe".
# Its folder is this repository, and its network this machine's. Nothing is built then.
set -euo pipefail
cd "$(dirname "$0")/.."
target=x86_64-pc-windows-gnu

# What is missing for a build, a line each.
missing() {
    local library
    command -v cargo >/dev/null || { echo "cargo"; return; }
    library=$(rustc --print sysroot)/lib/rustlib
    [ -d "$library/$target/lib" ] || [ -d "$library/src/rust/library" ] ||
        echo "std for $target: rustup target add $target, or rust-src"
    command -v x86_64-w64-mingw32-gcc >/dev/null || echo "x86_64-w64-mingw32-gcc: mingw-w64"
}

# cargo for that target. Where its std is not there it is built, which Rust allows nobody but itself without the variable.
cargo_for_target() {
    local command=$1 std=()
    shift
    [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ] || {
        export RUSTC_BOOTSTRAP=1
        std=(-Z build-std=std,panic_unwind)
    }
    cargo "$command" "${std[@]}" --locked --target "$target" "$@"
}

case ${1:-} in
check)
    missing=$(missing)
    [ -z "$missing" ] || { printf 'skipped, as there is no\n%s\n' "$missing"; exit 0; }
    cargo_for_target check --all-targets
    exit
    ;;
"") ;;
*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

command -v python3 >/dev/null || { echo "python3 is missing"; exit 2; }
if [ -z "${JOBSHIM_WINDOWS_RUN:-}" ]; then
    missing=$(missing)
    [ -z "$missing" ] || { printf 'missing:\n%s\n' "$missing"; exit 2; }
    cargo_for_target build
    JOBSHIM_WINDOWS_RUN=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/$target/debug/jobshim.exe
    if [ "$(uname -s)" = Linux ]; then
        wine=$(command -v wine64 || command -v wine) || { echo "missing: wine64"; exit 2; }
        JOBSHIM_WINDOWS_RUN="$wine $JOBSHIM_WINDOWS_RUN"
    fi
fi
export JOBSHIM_WINDOWS_RUN WINEDEBUG=${WINEDEBUG:--all}
exec python3 tests/windows.py
