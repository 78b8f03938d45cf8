"""What Cargo.toml says of the project. Python before 3.11 has no TOML, and these few lines need none."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = (REPOSITORY / "Cargo.toml").read_text(encoding="utf-8").partition("\n[features]")[0]


def said(key):
    return re.search(rf'^{key} = "(.*)"$', PACKAGE, re.MULTILINE).group(1)


NAME, VERSION, URL = (said(key) for key in ("name", "version", "repository"))
# Of an archive's name, by the end of its wheel's name.
TARGETS = {
    "manylinux_2_17_x86_64": "x86_64-unknown-linux-gnu",
    "manylinux_2_17_aarch64": "aarch64-unknown-linux-gnu",
    "universal2": "universal2-apple-darwin",
    "win_amd64": "x86_64-pc-windows-msvc",
}
