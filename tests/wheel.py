#!/usr/bin/env python3
"""What users get: the wheel, the archive that is made of it, and the sources for pip. The wheel says what Cargo.toml says, holds the
static binary of the image, is taken by systems with glibc and with musl, and works by pip, uvx and pipx, also as the node for ComfyUI.

Needs cargo, openssl, and the packages of tests/python_tools.py."""

import email
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import urllib.request
import venv
import zipfile
from pathlib import Path

from checks import REPOSITORY, check
from python_tools import installed

MOST_BYTES = 15_000_000
CARGO = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["package"]
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
LOCKED = tomllib.loads((REPOSITORY / "Cargo.lock").read_text())["package"]
NAME, VERSION = CARGO["name"], CARGO["version"]


def run(*command, **options):
    done = subprocess.run(command, text=True, capture_output=True, timeout=300, **options)
    if done.returncode:
        sys.exit(f"FAILED: {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(tools, folder):
    path = f"{tools}:{os.environ['PATH']}"
    began = time.monotonic()
    # By the flags of deploy/static cargo finds the program built, after tests/image.py.
    made = subprocess.run(["packaging/wheel", folder], cwd=REPOSITORY, env={**os.environ, "PATH": path})
    check(made.returncode == 0, f"packaging/wheel builds it in {time.monotonic() - began:.0f} s")
    wheels = list(folder.glob("*.whl"))
    check(len(wheels) == 1, f"one wheel: {[wheel.name for wheel in wheels]}")
    return wheels[0]


def check_metadata(wheel):
    check(re.fullmatch(rf"{NAME}-{re.escape(VERSION)}-py3-none-manylinux2014_(\w+?)\.manylinux_2_17_\1\.musllinux_1_1_\1\.whl", wheel.name),
          "its tags are any Python 3, glibc and musl")
    check(wheel.stat().st_size < MOST_BYTES, f"it has {wheel.stat().st_size / 1e6:.1f} MB, under {MOST_BYTES / 1e6:.0f}")
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        about = email.message_from_bytes(packed.read(f"{NAME}-{VERSION}.dist-info/METADATA"))
        program = packed.read(f"{NAME}-{VERSION}.data/scripts/{NAME}")
    check({"version", "description", "license"} <= set(PYPROJECT["dynamic"]) and not {"version", "description", "license"} & PYPROJECT.keys(),
          "version, description and licence are said in Cargo.toml alone")
    said = {key: about[key] for key in ("Name", "Version", "Summary", "License")}
    wanted = {"Name": NAME, "Version": VERSION, "Summary": CARGO["description"], "License": CARGO["license"]}
    check(said == wanted, f"it says what Cargo.toml says: {said}")
    urls = dict(entry.split(", ", 1) for entry in about.get_all("Project-URL"))
    leads = {"Source Code": CARGO["repository"], "Homepage": CARGO["homepage"], "Documentation": CARGO["documentation"]}
    check(urls == leads, f"it leads to repository and documents: {urls}")
    licences = {name.rpartition("/")[2] for name in names if "/licenses/" in name}
    check({"LICENSE-APACHE", "LICENSE-MIT"} <= licences, "it holds the texts of the licences")
    check(about.get("Requires-Dist") is None, "it needs no other package")
    page = about.get_payload()
    check(about["Description-Content-Type"].startswith("text/markdown") and "pip install jobshim" in page, "it has a page for PyPI")
    # There, a relative link leads nowhere.
    links = re.findall(r"\]\(([^)]+)\)|<(http[^>]+)>", page)
    check(links and all("".join(link).startswith(("https://", "http://127.0.0.1")) for link in links), f"all its {len(links)} links are whole")
    return program


def check_program(program, scratch):
    copy = scratch / NAME
    copy.write_bytes(program)
    about = run("readelf", "--program-headers", "--dynamic", copy)
    check("INTERP" not in about and "NEEDED" not in about, "its program asks for no loader and no library")
    host = re.search("^host: (.+)$", run("rustc", "-vV"), re.MULTILINE).group(1)
    check(program == (REPOSITORY / f"target/{host}/release/{NAME}").read_bytes(), "it is the program that was built for the image")
    return host


def check_installed(wheel, tools, scratch):
    home = scratch / "venv"
    venv.create(home, with_pip=True)
    pip = [home / "bin/python", "-m", "pip", "--disable-pip-version-check"]
    offline = ["--no-index", "--find-links", wheel.parent]
    run(*pip, "install", *offline, NAME)
    program = home / "bin" / NAME
    check(run(program, "--version") == f"{NAME} {VERSION}\n", "pip install: jobshim --version")
    check_demo(program)
    node = subprocess.run([home / "bin/python", REPOSITORY / "tests/comfyui_node.py"])
    check(node.returncode == 0, "the node for ComfyUI works with it")
    run(*pip, "uninstall", "--yes", NAME)
    left = [path for path in home.rglob("*") if NAME in path.name]
    check(not left, "pip uninstall leaves nothing")
    machine = os.uname().machine
    for system in [f"{machine}-manylinux_2_17", f"{machine}-manylinux_2_40", f"{machine}-unknown-linux-musl"]:
        taken = resolves(tools, wheel, system, scratch)
        check(taken.returncode == 0, f"it is taken on {system} {taken.stderr if taken.returncode else ''}")
    check(resolves(tools, wheel, "x86_64-pc-windows-msvc", scratch).returncode, "and not on Windows")
    apart = {**os.environ, "PIPX_HOME": str(scratch / "pipx"), "UV_CACHE_DIR": str(scratch / "uv"), "UV_OFFLINE": "1"}
    check(run(tools / "uvx", "--from", wheel, NAME, "--version", env=apart).startswith(NAME), "uvx jobshim --version")
    said = run(tools / "pipx", "run", "--backend", "pip", "--spec", wheel, NAME, "--version", env=apart)
    check(f"{NAME} {VERSION}" in said, "pipx run jobshim --version")


def resolves(tools, wheel, system, scratch):
    """Installs it as another system would."""
    return subprocess.run(
        [tools / "uv", "pip", "install", "--no-index", "--find-links", wheel.parent, "--python-platform", system, "--target",
         scratch / system, NAME], text=True, capture_output=True, timeout=60)


def check_demo(program):
    """`jobshim demo` answers an old client."""
    demo = subprocess.Popen([program, "demo", "--listen", "127.0.0.1:0", "--admin", "off"], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True)
    try:
        line = next(line for line in demo.stdout if re.match("curl .*/history$", line))
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(line.split()[-1], timeout=20) as answer:
            jobs = json.load(answer)
        check(jobs and all(job["status"]["status_str"] for job in jobs.values()), f"jobshim demo answers /history with {len(jobs)} jobs")
        demo.send_signal(signal.SIGTERM)
        check(demo.wait(20) == 0, "SIGTERM ends it with 0")
    finally:
        demo.kill()


def check_archive(wheel, program, host, scratch):
    folder = scratch / "archives"
    run(sys.executable, "packaging/archive.py", wheel, folder, cwd=REPOSITORY)
    top = f"{NAME}-{VERSION}-{host}"
    for sums in folder.glob("*.sha256"):
        digest, name = sums.read_text().split()
        check(hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, f"the checksum of {name} is right")
    with tarfile.open(folder / f"{top}.tar.gz") as packed:
        files = {entry.name: packed.extractfile(entry).read() for entry in packed if entry.isfile()}
        modes = {entry.name: entry.mode for entry in packed}
    # Where `cargo binstall` looks for the program.
    binstall = CARGO["metadata"]["binstall"]
    filled = {"name": NAME, "version": VERSION, "target": host, "bin": NAME, "binary-ext": "", "archive-suffix": ".tar.gz", "repo": CARGO["repository"]}
    inside, url = (re.sub(r"\{ (.+?) \}", lambda found: filled[found.group(1)], binstall[key]) for key in ("bin-dir", "pkg-url"))
    check(files.get(inside) == program and modes[inside] == 0o755, f"the archive has the wheel's program as {inside}")
    check(url == f"{CARGO['repository']}/releases/download/v{VERSION}/{top}.tar.gz", "cargo binstall asks for its name")
    for name in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "config.example.toml", f"share/man/man1/{NAME}.1",
                 f"share/bash-completion/completions/{NAME}.bash", f"share/zsh/site-functions/_{NAME}", f"share/fish/vendor_completions.d/{NAME}.fish"]:
        check(files.get(f"{top}/{name}"), f"the archive has {name}")
    parts = json.loads((folder / f"{top}.cdx.json").read_text())
    listed = {(part["name"], part["version"]) for part in parts["components"]}
    locked = {(part["name"], part["version"]) for part in LOCKED}
    check(parts["bomFormat"] == "CycloneDX" and listed <= locked | {(NAME, VERSION)}, f"its list has {len(listed)} parts, all of Cargo.lock")
    check({"hyper", "tokio", "opentelemetry"} <= {name for name, _ in listed}, "the list has what the program is built of")


def check_archives_elsewhere(program, scratch):
    """The same for wheels as they are built on other systems: what differs are names."""
    for tags, target, end, name in [
        ("win_amd64", "x86_64-pc-windows-msvc", "zip", f"{NAME}.exe"),
        ("macosx_10_12_x86_64.macosx_11_0_arm64.macosx_10_12_universal2", "universal2-apple-darwin", "tar.gz", NAME),
        ("manylinux2014_aarch64.manylinux_2_17_aarch64.musllinux_1_1_aarch64", "aarch64-unknown-linux-gnu", "tar.gz", NAME),
    ]:
        wheel = scratch / f"{NAME}-{VERSION}-py3-none-{tags}.whl"
        with zipfile.ZipFile(wheel, "w") as packed:
            packed.writestr(f"{NAME}-{VERSION}.data/scripts/{name}", program)
            packed.writestr(f"{NAME}-{VERSION}.dist-info/sboms/{NAME}.cyclonedx.json", "{}")
        run(sys.executable, "packaging/archive.py", wheel, scratch / "others", cwd=REPOSITORY)
        top = f"{NAME}-{VERSION}-{target}"
        shutil.unpack_archive(scratch / f"others/{top}.{end}", scratch / "unpacked")
        check((scratch / f"unpacked/{top}/{name}").read_bytes() == program, f"{top}.{end} has {name}")


def check_sources(tools, scratch):
    run(tools / "maturin", "sdist", "--out", scratch, cwd=REPOSITORY)
    with tarfile.open(scratch / f"{NAME}-{VERSION}.tar.gz") as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    needed = {path.relative_to(REPOSITORY).as_posix() for folder in ["src", "mappings"] for path in (REPOSITORY / folder).rglob("*") if path.is_file()}
    needed |= {"Cargo.toml", "Cargo.lock", "build.rs", "pyproject.toml", PYPROJECT["readme"], "LICENSE-MIT", "LICENSE-APACHE"}
    check(not needed - names, f"the sources for pip are whole: {sorted(needed - names)[:5] or len(needed)}")


def main():
    began = time.monotonic()
    tools = installed("maturin", "pipx", "uv", "wheel")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        wheel = build(tools, scratch / "dist")
        program = check_metadata(wheel)
        host = check_program(program, scratch)
        check_installed(wheel, tools, scratch)
        check_archive(wheel, program, host, scratch)
        check_archives_elsewhere(program, scratch)
        check_sources(tools, scratch)
    print(f"the wheel is good; it took {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
