// Runs a workflow on ComfyUI, waits until it is done, and saves the pictures. Needs Node 18 or later alone.

import { writeFile } from "node:fs/promises";

const SERVER = "http://127.0.0.1:8188";

// Core nodes without a model, so that any ComfyUI can run it.
const WORKFLOW = {
  1: { class_type: "EmptyImage", inputs: { width: 64, height: 64, batch_size: 1, color: 3829413 } },
  2: { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "example" } },
};

async function ask(path, options) {
  const answer = await fetch(SERVER + path, options);
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${answer.statusText}`);
  return answer;
}

const submitted = await ask("/prompt", {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ prompt: WORKFLOW }),
});
const { prompt_id } = await submitted.json();

let history = {};
while (!(prompt_id in history)) {
  await new Promise((resolve) => setTimeout(resolve, 500));
  history = await (await ask(`/history/${prompt_id}`)).json();
}

console.log(history[prompt_id].status.status_str);
for (const node of Object.values(history[prompt_id].outputs)) {
  for (const image of node.images ?? []) {
    const view = await ask(`/view?${new URLSearchParams(image)}`);
    const picture = new Uint8Array(await view.arrayBuffer());
    await writeFile(image.filename, picture);
    console.log(`${image.filename}: ${picture.length} bytes`);
  }
}
