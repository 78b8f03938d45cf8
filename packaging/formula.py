#!/usr/bin/env python3
"""Prints the Homebrew formula of a release whose checksums are in a folder: formula.py FOLDER"""

import re
import sys
from pathlib import Path

from project import NAME, REPOSITORY, URL, VERSION

TEMPLATE = REPOSITORY / "packaging/homebrew/jobshim.rb"


def main(folder):
    def value(found):
        kind, _, target = found.group(1).partition(" ")
        if kind == "SHA256":
            return (folder / f"{NAME}-{VERSION}-{target}.tar.gz.sha256").read_text().split()[0]
        return {"URL": URL, "VERSION": VERSION}[kind]

    # The first line is about the template.
    template = TEMPLATE.read_text(encoding="utf-8").partition("\n")[2]
    print(re.sub("@(.+?)@", value, template), end="")


if len(sys.argv) != 2:
    sys.exit(__doc__)
main(Path(sys.argv[1]))
