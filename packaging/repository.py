#!/usr/bin/env python3
"""Writes the address of the repository into every file that names it: repository.py https://github.com/YOU/jobshim [FOLDER]

What follows from it changes with it: the image's name, the Homebrew tap, and the publisher in the Comfy registry."""

import os
import re
import sys
from pathlib import Path

from project import REPOSITORY, URL

LEFT_OUT = {".git", "target", "node_modules", "__pycache__"}


def follows(url):
    """What is written of an address, most exact first."""
    owner, name = url.removeprefix("https://github.com/").split("/")
    return [url, f"ghcr.io/{owner}/{name}".lower(), f"{owner}/tap/{name}", f"--repo {owner}/{name}", f'PublisherId = "{owner}"']


def main(url, root):
    url = url.rstrip("/").removesuffix(".git")
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", url):
        sys.exit(f"{url} is not like https://github.com/YOU/jobshim")
    changes = list(zip(follows(URL), follows(url)))
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        for path in (Path(folder) / name for name in files):
            try:
                text = path.read_bytes().decode("utf-8")
            except UnicodeDecodeError:
                continue
            changed = text
            for old, new in changes:
                changed = changed.replace(old, new)
            if changed != text:
                path.write_bytes(changed.encode("utf-8"))
                print(path.relative_to(root))


if len(sys.argv) not in (2, 3):
    sys.exit(__doc__.splitlines()[0])
main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) == 3 else REPOSITORY)
