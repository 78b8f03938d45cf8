#!/usr/bin/env python3
"""What a client that polls the whole /history costs the server, without jobshim and with it: CPU of the server's process.

    benches/server_cpu.py JOBSHIM [--jobs 320] [--kilobytes 156] [--polls 20]

The server stands in for ComfyUI: Python that keeps its jobs as objects and writes its JSON anew for each answer. It has no
other work, so a real ComfyUI takes more. Linux only, as it reads /proc."""

import argparse
import http.server
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request


TEXT = (
    "a lighthouse on a cliff at dusk, heavy rain, volumetric light, (masterpiece:1.2), 35mm film, muted colours, fine grain, "
    "long exposure, waves breaking on the rocks below, a single lit window"
)
CLASSES = ["SaveImage", "CheckpointLoaderSimple", "CLIPTextEncode", "KSampler", "VAEDecode", "ImageScaleBy"]


def nodes(nth, size):
    """The nodes of a prompt as the API and as the editor have them, like those of benches/peers/jobs.rs: `size` bytes."""
    prompt, editor, length = {}, [], 0
    while length < size:
        at = len(editor) + 1
        kind = CLASSES[at % len(CLASSES)]
        text = TEXT if kind == "CLIPTextEncode" else "euler"
        inputs = {"seed": 156_680_208 + at * 7_919 + nth, "steps": 20, "cfg": 7.5, "denoise": 0.65, "text": text,
                  "model": [str(at), 0], "positive": ["6", 1]}
        prompt[str(at)] = {"inputs": inputs, "class_type": kind, "_meta": {"title": f'{kind} "{at}"'}}
        editor.append({
            "id": at, "type": kind, "pos": [863 + at * 40, 186.25], "size": [315, 262], "flags": {"collapsed": False},
            "order": at, "mode": 0, "inputs": [{"name": "model", "type": "MODEL", "link": 1},
                                               {"name": "positive", "type": "CONDITIONING", "link": 4}],
            "outputs": [{"name": "LATENT", "type": "LATENT", "links": [7, 9], "slot_index": 0}],
            "properties": {"Node name for S&R": kind}, "widgets_values": [at, "randomize", 20, 8.5, text, "normal", 1],
        })
        length += len(json.dumps([prompt[str(at)], editor[-1]]))
    return prompt, editor


def job(nth, kilobytes):
    """One finished job: its entry in a list, and what its detail has besides."""
    prompt, editor = nodes(nth, kilobytes * 1000)
    name = f"{nth:08}-0000-4000-8000-000000000000"
    image = {"filename": f"bench_{nth:05}_.png", "subfolder": "", "type": "output"}
    created = 1_764_000_000_000 + nth * 1000
    messages = [["execution_start", {"prompt_id": name, "timestamp": created}],
                ["execution_success", {"prompt_id": name, "timestamp": created + 900}]]
    return {
        "id": name, "status": "completed", "priority": nth, "create_time": created,
        "execution_start_time": created, "execution_end_time": created + 900, "outputs_count": 1,
        "preview_output": dict(image, nodeId="9", mediaType="images"),
    }, {
        "outputs": {"9": {"images": [image]}},
        "execution_status": {"status_str": "success", "completed": True, "messages": messages},
        "workflow": {"prompt": prompt, "extra_data": {"create_time": created, "extra_pnginfo": {"workflow": {"nodes": editor}}}},
    }


def serve(port, jobs, kilobytes):
    known = [job(nth, kilobytes) for nth in range(jobs)]
    details = {entry["id"]: {**entry, **rest} for entry, rest in known}
    listed = [entry for entry, _ in reversed(known)]
    history = {
        entry["id"]: {
            "prompt": [entry["priority"], entry["id"], rest["workflow"]["prompt"], rest["workflow"]["extra_data"], ["9"]],
            "outputs": rest["outputs"], "status": rest["execution_status"],
            "meta": {"9": {"node_id": "9", "display_node": "9", "parent_node": None, "real_node_id": "9"}},
        }
        for entry, rest in known
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            path, _, query = self.path.partition("?")
            status, answer = 200, {}
            if path == "/history":
                answer = history
            elif path == "/api/jobs" and "sort_by=create_time" in query:
                status, answer = 400, {"error": "sort_by must be one of: created_at, execution_duration"}
            elif path == "/api/jobs":
                page = {"offset": 0, "limit": None, "total": len(listed), "has_more": False}
                answer = {"jobs": listed, "pagination": page}
            elif path.startswith("/api/jobs/"):
                answer = details[path.rsplit("/", 1)[1]]
            elif not path.startswith(("/object_info/", "/api/object_info/")):
                status, answer = 404, {}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def cpu(process):
    """User and system time so far, in ms."""
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(arguments, port, **options):
    process = subprocess.Popen([str(argument) for argument in arguments], stdout=subprocess.DEVNULL, **options)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.02)
    process.kill()
    sys.exit(f"FAILED: {arguments[0]} does not listen")


def polled(port, count, processes):
    """Bytes of an answer, how many jobs it has, and the CPU of each process, in ms a poll."""
    before = [cpu(process) for process in processes]
    for _ in range(count):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/history", timeout=60) as answer:
            body = answer.read()
    taken = [(cpu(process) - was) / count for process, was in zip(processes, before)]
    return len(body), len(json.loads(body)), taken


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("jobshim")
    parser.add_argument("--jobs", type=int, default=320)
    parser.add_argument("--kilobytes", type=int, default=156)
    parser.add_argument("--polls", type=int, default=20)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        return serve(asked.serve, asked.jobs, asked.kilobytes)
    port, shim = free_port(), free_port()
    size = ["--jobs", asked.jobs, "--kilobytes", asked.kilobytes]
    server = start([sys.executable, __file__, "-", "--serve", port, *size], port)
    quiet = {"env": {**os.environ, "JOBSHIM_ADMIN": "off"}, "stderr": subprocess.DEVNULL}
    jobshim = start([asked.jobshim, "--listen", f"127.0.0.1:{shim}", "--upstream", f"http://127.0.0.1:{port}"], shim, **quiet)
    try:
        rows = [
            ("the server itself", polled(port, asked.polls, [server])),
            ("jobshim, first", polled(shim, 1, [server, jobshim])),
            ("jobshim, each after that", polled(shim, asked.polls, [server, jobshim])),
        ]
    finally:
        jobshim.terminate()
        server.terminate()
    print("| a poll of `/history` answered by | jobs | MB | CPU of the server, ms | CPU of jobshim, ms |")
    print("| --- | --- | --- | --- | --- |")
    for who, (length, jobs, taken) in rows:
        times = [f"{time:.1f}" for time in taken] + [""] * (2 - len(taken))
        print(f"| {who} | {jobs} | {length / 1e6:.1f} | {times[0]} | {times[1]} |")
    counts = {jobs for _, (_, jobs, _) in rows}
    if counts != {asked.jobs}:
        sys.exit(f"FAILED: answers of {counts} jobs, where {asked.jobs} are there")


if __name__ == "__main__":
    main()
