#!/usr/bin/env python3
"""Makes the archive of a release from a wheel, so that both hold the same program: archive.py WHEEL FOLDER

Writes NAME.tar.gz, for Windows NAME.zip; NAME.cdx.json, the parts of the program as CycloneDX; and a .sha256 of each."""

import hashlib
import io
import os
import sys
import tarfile
import time
import zipfile
from pathlib import Path

from project import NAME, REPOSITORY, TARGETS, VERSION

TEXTS = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "config.example.toml"]


def target_of(wheel):
    tags = wheel.stem.split("-")[-1].split(".")
    found = [target for end, target in TARGETS.items() if any(tag.endswith(end) for tag in tags)]
    return found[0] if found else sys.exit(f"{wheel.name}: no archive is made for {tags}")


def only(names, what):
    if len(names) != 1:
        sys.exit(f"one {what} is expected, and there are {names}")
    return names[0]


def man_pages_and_completions():
    """Made by every build, the same on each system."""
    built = [*REPOSITORY.glob("target/release/share"), *REPOSITORY.glob("target/*/release/share")]
    newest = max(built, key=lambda folder: folder.stat().st_mtime, default=None)
    if newest is None:
        sys.exit("no man pages: build the wheel first")
    return {f"share/{path.relative_to(newest).as_posix()}": path.read_bytes() for path in sorted(newest.rglob("*")) if path.is_file()}


def contents(wheel):
    """The files of the archive by their names, the program first, and the list of parts."""
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        program = only([name for name in names if "/scripts/" in name], "program")
        parts = packed.read(only([name for name in names if "/sboms/" in name], "list of parts"))
        files = {program.rpartition("/")[2]: packed.read(program)}
    files.update((name, (REPOSITORY / name).read_bytes()) for name in TEXTS)
    files.update(man_pages_and_completions())
    return {**files, f"{NAME}.cdx.json": parts}, parts


def write_tar(path, top, files, moment):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size, entry.mtime, entry.mode = len(content), moment, 0o755 if name == NAME else 0o644
            tar.addfile(entry, io.BytesIO(content))


def write_zip(path, top, files, moment):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(zipfile.ZipInfo(f"{top}/{name}", time.gmtime(moment)[:6]), content, zipfile.ZIP_DEFLATED)


def main(wheel, folder):
    top = f"{NAME}-{VERSION}-{target_of(wheel)}"
    files, parts = contents(wheel)
    moment = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{top}{'.zip' if 'windows' in top else '.tar.gz'}"
    (write_zip if archive.suffix == ".zip" else write_tar)(archive, top, files, moment)
    listed = folder / f"{top}.cdx.json"
    listed.write_bytes(parts)
    for path in [archive, listed]:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        # As sha256sum -c reads it, with the same bytes on each system.
        path.with_name(path.name + ".sha256").write_bytes(f"{digest}  {path.name}\n".encode())
        print(path)


if len(sys.argv) != 3:
    sys.exit(__doc__.splitlines()[0])
main(Path(sys.argv[1]), Path(sys.argv[2]))
