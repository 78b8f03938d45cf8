#!/usr/bin/env python3
"""Prints what CHANGELOG.md says of a release, if everything is ready for it: notes.py v1.2.3"""

import re
import sys

from project import REPOSITORY, URL, VERSION


def main(tag):
    if tag != f"v{VERSION}":
        sys.exit(f"the tag is {tag}, and the version in Cargo.toml is {VERSION}")
    if "/OWNER/" in URL:
        sys.exit("the repository has no address yet: just repository https://github.com/...")
    sections = re.split(r"^## ", (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for section in sections[1:]:
        heading, _, text = section.partition("\n")
        if heading.startswith(f"[{VERSION}]"):
            if not re.search(r"\d{4}-\d\d-\d\d$", heading):
                sys.exit(f"CHANGELOG.md has no date for {VERSION}")
            print(text.strip())
            return
    sys.exit(f"CHANGELOG.md says nothing of {VERSION}")


if len(sys.argv) != 2:
    sys.exit(__doc__)
main(sys.argv[1])
