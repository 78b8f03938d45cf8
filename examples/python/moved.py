"""Runs a workflow on ComfyUI, waits until it is done, and saves the pictures. Needs Python alone."""

import json
import time
import urllib.parse
import urllib.request

SERVER = "http://127.0.0.1:8188"

# Core nodes without a model, so that any ComfyUI can run it.
WORKFLOW = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 3829413}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "example"}},
}


def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(SERVER + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return answer.read()


prompt_id = json.loads(ask("/prompt", {"prompt": WORKFLOW}))["prompt_id"]

while True:
    job = json.loads(ask(f"/api/jobs/{prompt_id}"))
    if job["status"] in ("completed", "failed", "cancelled"):
        break
    time.sleep(0.5)

print("success" if job["status"] == "completed" else "error")
for node in job.get("outputs", {}).values():
    for image in node.get("images", []):
        picture = ask("/view?" + urllib.parse.urlencode(image))
        with open(image["filename"], "wb") as file:
            file.write(picture)
        print(f"{image['filename']}: {len(picture)} bytes")
