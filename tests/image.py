#!/usr/bin/env python3
"""The container image: the binary it holds is static and small, and in an empty root, as nobody, it starts, is well,
resolves names and finds CA roots, also where nothing but /state can be written. The binary is made by the commands of the
Dockerfile's first stage; where buildah is at hand, the image itself is built from its last.

Needs root (chroot, port 53), cargo, openssl. Leaves nothing behind."""

import http.server
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from checks import REPOSITORY, EmptyServer, check, free_port

MOST_BYTES = 15_000_000
NOBODY = 65532
CHROOT = shutil.which("chroot", path="/usr/sbin:/usr/bin:/sbin:/bin")


def run(*command, **options):
    return subprocess.run(command, text=True, capture_output=True, timeout=120, **options)


def as_nobody(root):
    """What runs the image's binary as the image does."""
    return [CHROOT, f"--userspec={NOBODY}:{NOBODY}", root, "/jobshim"]


def inside(root, *arguments, **environment):
    return run(*as_nobody(root), *arguments, env=environment)


def as_nobody_read_only(root):
    """The same, where nothing but /state can be written: mounts that nobody else sees."""
    script = """
        mount --make-rprivate /
        mount --bind "$0" "$0"
        mount --bind "$0/state" "$0/state"
        mount -o remount,bind,ro "$0"
        exec "$@"
    """
    return ["unshare", "--mount", "sh", "-ec", script, root, *as_nobody(root)]


def serve(certificate=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), EmptyServer)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def serve_dns(name):
    """Answers questions for an A record of `name` with 127.0.0.1, and all others with nothing."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 53))
    wanted = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"

    def loop():
        while True:
            question, client = listener.recvfrom(512)
            asked, kind = question[12 : 12 + len(wanted)], question[12 + len(wanted) : 14 + len(wanted)]
            known = asked.lower() == wanted and kind == b"\0\1"
            end = question.index(b"\0", 12) + 5
            head = question[:2] + struct.pack(">HHHHH", 0x8180, 1, int(known), 0, 0)
            record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([127, 0, 0, 1])
            listener.sendto(head + question[12:end] + (record if known else b""), client)

    threading.Thread(target=loop, daemon=True).start()


def build(scratch):
    """Does what the first stage of the Dockerfile does, in its order, on a copy of what it is given; gives its /out."""
    source, out = scratch / "source", scratch / "out"
    done = []
    for line in (REPOSITORY / "Dockerfile").read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM" and done:
            break
        if word == "COPY":
            check(rest == ". .", "the first stage copies all that is there")
            left_out = (REPOSITORY / ".dockerignore").read_text().split()
            shutil.copytree(REPOSITORY, source, ignore=lambda folder, names: left_out if Path(folder) == REPOSITORY else [])
            # Dependencies that are built already are not built again.
            (REPOSITORY / "target").mkdir(exist_ok=True)
            (source / "target").symlink_to(REPOSITORY / "target")
        elif word == "RUN":
            made = subprocess.run(["sh", "-ec", rest.replace("/out", str(out))], cwd=source)
            check(made.returncode == 0, f"{rest}")
        elif word not in ("FROM", "WORKDIR"):
            continue
        done.append(word)
    check(done == ["FROM", "WORKDIR", "COPY", "RUN"], f"the first stage is tried as it is: {done}")
    return out


def check_binary(binary):
    about = run("readelf", "--program-headers", "--dynamic", binary).stdout
    check("INTERP" not in about and "NEEDED" not in about, "the binary asks for no loader and no library")
    size = binary.stat().st_size
    check(size < MOST_BYTES, f"the binary has {size / 1e6:.1f} MB, under {MOST_BYTES / 1e6:.0f}")


# Without PATH, the shell that mounts finds nothing.
ENVIRONMENT = {"PATH": os.environ["PATH"]}


def check_life(root, command, where):
    """It starts, says that it is well, keeps what must survive a restart in /state, and ends."""
    port = free_port()
    environment = ENVIRONMENT | {
        "JOBSHIM_LISTEN": f"127.0.0.1:{port}", "JOBSHIM_ADMIN": f"127.0.0.1:{free_port()}",
        "JOBSHIM_UPSTREAM": f"http://127.0.0.1:{serve()}", "JOBSHIM_STATE_DIR": "/state",
    }
    sick = inside(root, "health", **environment)
    check(sick.returncode == 1, "health is 1 while nothing runs")
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        log = running.stderr.readline()
        check("listening" in log, f"it starts {where} as user {NOBODY}, with its state in /state: {log.strip()}")
        for asked in [["health"], ["health", "--ready"]]:
            well = inside(root, *asked, **environment)
            check(well.returncode == 0, f"{' '.join(asked)} is 0 while it runs {well.stderr.strip()}")
        answer = run("curl", "-fsS", "--max-time", "20", f"http://127.0.0.1:{port}/history").stdout
        check(answer == "{}", "it answers /history")
        running.terminate()
        check(running.wait(timeout=30) == 0, "SIGTERM ends it with 0")
    finally:
        running.kill()
    kept = [path.name for path in (root / "state").iterdir()]
    check(kept, f"what must survive a restart is in /state: {kept}")


def check_root(root, scratch):
    """`root` holds the image's files; /etc is what a container engine mounts there."""
    etc = root / "etc"
    (etc / "ssl/certs").mkdir(parents=True)
    for entry in [etc, *etc.rglob("*")]:
        entry.chmod(0o755)

    check_life(root, as_nobody(root), "in an empty root")
    read_only = as_nobody_read_only(root)
    # Of that user's own, and yet not to be written.
    (root / "elsewhere").mkdir()
    os.chown(root / "elsewhere", NOBODY, NOBODY)
    refused = run(*read_only, env={**ENVIRONMENT, "JOBSHIM_STATE_DIR": "/elsewhere"})
    if "Read-only file system" in refused.stderr:
        print("ok: nothing but /state can be written there", flush=True)
        check_life(root, read_only, "in a root that is read-only")
    else:
        check("unshare" in refused.stderr or "mount" in refused.stderr, f"a read-only root refuses writes {refused.stderr}")
        print("nothing may be mounted here: a read-only root is not tried", flush=True)
    (root / "elsewhere").rmdir()
    # An address that is no collector's is refused by a build that has traces, and by no other.
    refused = inside(root, JOBSHIM_LISTEN="127.0.0.1:0", JOBSHIM_ADMIN="off", OTEL_EXPORTER_OTLP_ENDPOINT="nowhere")
    check(refused.returncode == 2 and "collector" in refused.stderr, f"it has traces {refused.stderr.strip()}")

    # Names: from /etc/hosts, and from the server that /etc/resolv.conf names.
    (etc / "hosts").write_text("127.0.0.1 comfyui\n")
    (etc / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    try:
        serve_dns("comfyui.example")
    except OSError as error:
        sys.exit(f"FAILED: port 53 of 127.0.0.1 is taken, so that names cannot be tried: {error}")
    upstream = serve()
    for name in ["comfyui", "comfyui.example"]:
        said = inside(root, "doctor", "--upstream", f"http://{name}:{upstream}")
        check("Self-hosted ComfyUI" in said.stdout, f"it resolves {name} {said.stdout if said.returncode else ''}")
    said = inside(root, "doctor", "--upstream", f"http://other.example:{upstream}")
    check("does not resolve" in said.stdout, "it says so when a name does not resolve")

    # Roots: the engine's or the image's own folder, when there is one.
    key, certificate = scratch / "key.pem", scratch / "certificate.pem"
    made = run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
               "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=comfyui",
               "-addext", "subjectAltName=DNS:comfyui", "-addext", "basicConstraints=critical,CA:FALSE")
    check(made.returncode == 0, f"a certificate is made {made.stderr if made.returncode else ''}")
    url = f"https://comfyui:{serve((certificate, key))}"
    said = inside(root, "doctor", "--upstream", url)
    check("nobody trusted signed" in said.stdout, "a certificate of nobody's is refused")
    shutil.copy(certificate, etc / "ssl/certs/ca-certificates.crt")
    (etc / "ssl/certs/ca-certificates.crt").chmod(0o644)
    said = inside(root, "doctor", "--upstream", url)
    check("Self-hosted ComfyUI" in said.stdout, f"it finds the roots in /etc/ssl/certs {said.stdout if said.returncode else ''}")


def check_image(built, scratch):
    """Builds the last stage of the Dockerfile over what the first one made, and gives its files."""
    (scratch / "context").mkdir()
    built.rename(scratch / "context/out")
    storage = ["--root", scratch / "storage", "--runroot", scratch / "run", "--storage-driver", "vfs"]
    policy = scratch / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    made = run("buildah", *storage, "build", "--isolation", "chroot", "--format", "docker", "--signature-policy", policy,
               "--build-context", f"build={scratch / 'context'}", "--tag", "jobshim", REPOSITORY)
    check(made.returncode == 0, f"buildah builds the image {made.stderr if made.returncode else ''}")
    about = json.loads(run("buildah", *storage, "inspect", "--type", "image", "jobshim").stdout)
    config = about["Docker"]["config"]
    check(config["User"] == f"{NOBODY}:{NOBODY}", "its user is not root")
    check(config["Entrypoint"] == ["/jobshim"], "it starts jobshim")
    check(config["Healthcheck"]["Test"] == ["CMD", "/jobshim", "health"], "its health check needs no shell")
    container = run("buildah", *storage, "from", "--signature-policy", policy, "jobshim").stdout.strip()
    mounted = Path(run("buildah", *storage, "mount", container).stdout.strip())
    # What a container engine mounts over is there as empty folders.
    files = sorted(str(path.relative_to(mounted)) for path in mounted.rglob("*") if not path.is_dir() or path.name == "state")
    check(files == ["jobshim", "state"], f"it holds the binary, /state and nothing else: {files}")
    check((mounted / "state").stat().st_uid == NOBODY, "/state is its user's")
    size = sum(path.stat().st_size for path in mounted.rglob("*") if path.is_file())
    check(size < MOST_BYTES, f"it has {size / 1e6:.1f} MB, under {MOST_BYTES / 1e6:.0f}")
    return mounted


def main():
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        scratch.chmod(0o755)
        built = build(scratch)
        check_binary(built / "jobshim")
        if shutil.which("buildah"):
            root = check_image(built, scratch)
        else:
            print("buildah is not at hand: the binary is tried in a root of its own", flush=True)
            root = scratch / "root"
            shutil.copytree(built, root)
            os.chown(root / "state", NOBODY, NOBODY)
        try:
            check_root(root, scratch)
        finally:
            if shutil.which("buildah"):
                run("buildah", "--root", scratch / "storage", "--runroot", scratch / "run", "--storage-driver", "vfs", "umount", "--all")
    print(f"the image is good; it took {time.monotonic() - began:.0f} s")


main()
