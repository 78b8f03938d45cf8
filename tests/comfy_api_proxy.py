#!/usr/bin/env python3
"""What docs/comparison.md and docs/v2.md say of comfy-api-proxy, tried with the real one from PyPI: before a server that has only the
Jobs API its jobs expire, and with jobshim in between they succeed. Old clients of it, with jobshim before it, see what the server
behind it says itself.

Needs venv and PyPI. JOBSHIM is the program to try, or target/debug/jobshim. Leaves nothing behind."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import venv
from pathlib import Path

from checks import REPOSITORY, check, free_port, until

JOBSHIM = os.environ.get("JOBSHIM", REPOSITORY / "target/debug/jobshim")
VERSION = "0.1.6"
WORKFLOW = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "example"}},
}


def ask(url, body=None):
    """Status and body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return None, b""


class Demo:
    """`jobshim demo`: `url` is jobshim's, `server` that of the simulated server behind it."""

    def __init__(self):
        arguments = [JOBSHIM, "demo", "--listen", "127.0.0.1:0", "--admin", "off"]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in self.process.stdout:
            if "which old clients talk to" in line:
                self.url = line.split()[1]
            if "a simulated ComfyUI" in line:
                self.server = line.split()[1]
            if "Ctrl-C ends it" in line:
                return
        sys.exit("FAILED: the demo does not start")


@contextlib.contextmanager
def comfy_api_proxy(comfyui):
    """The URL of a comfy-api-proxy before `comfyui`."""
    proxy = f"http://127.0.0.1:{free_port()}"
    arguments = [PROGRAM, "--comfyui", comfyui, "--port", proxy.rsplit(":", 1)[1]]
    running = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until("comfy-api-proxy listens", lambda: ask(f"{proxy}/api/v2/health")[0] == 200)
        yield proxy
    finally:
        running.terminate()
        running.wait()


def state_of_a_job(comfyui, server):
    """What comfy-api-proxy says of a job that it submits to `comfyui`, once it ended well on `server` behind it.

    Only then: comfy-api-proxy reads history and queue one after the other, and calls what ends in between expired for a moment."""
    with comfy_api_proxy(comfyui) as proxy:
        check(ask(f"{proxy}/history")[0] == 404, "it has no old endpoint of its own")
        status, answer = ask(f"{proxy}/api/v2/jobs", {"workflow": WORKFLOW})
        check(status in (200, 201, 202), f"it takes a job: {status}")
        job = json.loads(answer)["id"]
        until("the job has ended well", lambda: json.loads(ask(f"{server}/api/jobs/{job}")[1]).get("status") == "completed")
        return json.loads(ask(f"{proxy}/api/v2/jobs/{job}")[1])


def entries_of_a_job(comfyui):
    """What an old client reads of its job: from jobshim before comfy-api-proxy before `comfyui`, and from `comfyui` itself."""
    with comfy_api_proxy(comfyui) as proxy:
        url = f"http://127.0.0.1:{free_port()}"
        arguments = [JOBSHIM, "--upstream", proxy, "--listen", url.split("//")[1], "--admin", "off"]
        running = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until("jobshim listens", lambda: ask(f"{url}/features")[0] == 200)
            status, answer = ask(f"{url}/prompt", {"prompt": WORKFLOW, "client_id": "mine", "extra_data": {"x": [1]}})
            check(status == 200, f"it takes a prompt: {status}")
            job = json.loads(answer)["prompt_id"]
            queue = json.loads(ask(f"{url}/queue")[1])
            shown = [item[1] for items in queue.values() for item in items]
            check(shown == [job] or json.loads(ask(f"{url}/history/{job}")[1]), f"it is in the queue: {shown}")

            def entry():
                return json.loads(ask(f"{url}/history/{job}")[1]).get(job)

            read = until("the job is in the history", entry)
            check(list(json.loads(ask(f"{url}/history")[1])) == [job], "and in the list of all")
            return read, json.loads(ask(f"{comfyui}/history/{job}")[1])[job]
        finally:
            running.terminate()
            running.wait()


scratch = tempfile.TemporaryDirectory()
venv.create(scratch.name, with_pip=True)
BIN = Path(scratch.name) / "bin"
PROGRAM = BIN / "comfy-api-proxy"
subprocess.run([BIN / "pip", "install", "--quiet", f"comfy-api-proxy=={VERSION}"], check=True)
demo = Demo()
try:
    alone = state_of_a_job(demo.server, demo.server)
    check(alone["status"] == "expired", f"before a server with only the Jobs API a job that ended well is {alone['status']}")
    between = state_of_a_job(demo.url, demo.server)
    check(between["status"] == "succeeded", f"with jobshim in between a job {between['status']}")
    names = [output["name"] for output in between["outputs"]]
    check(len(names) == 1 and names[0].startswith("example_"), f"with what it made: {names}")
    read, own = entries_of_a_job(demo.url)
    for member in ("outputs", "meta"):
        check(read[member] == own[member], f"an old client reads the same {member}: {read[member]}")
    check(read["prompt"][1:3] == own["prompt"][1:3], "and the same prompt")
    check(read["prompt"][3]["client_id"] == "mine" and read["prompt"][3]["x"] == [1], f"with what it sent: {read['prompt'][3]}")
    check(read["status"]["status_str"] == "success", f"and how it ended: {read['status']}")
finally:
    demo.process.terminate()
    demo.process.wait()
