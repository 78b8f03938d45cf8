//! The jobs that the comparison is about: details as ComfyUI writes them, and the history entries they become.

use std::fmt::Write;

/// How many jobs of each size there are: more than are asked for at once, so that no two requests can share a call.
pub const JOBS: usize = 128;
/// How many of them the list shows.
pub const LISTED: usize = 64;
/// The sizes of a detail, in KB of 1,000 bytes.
pub const SIZES: [usize; 2] = [15, 70];
/// The node class that is an output node.
pub const OUTPUT_CLASS: &str = "SaveImage";

const CLASSES: [&str; 6] = [
    "CheckpointLoaderSimple",
    "CLIPTextEncode",
    "KSampler",
    "VAEDecode",
    "ImageScaleBy",
    OUTPUT_CLASS,
];
const TEXT: &str = "a lighthouse on a cliff at dusk, heavy rain, volumetric light, (masterpiece:1.2), 35mm film, \
    muted colours, fine grain, long exposure, waves breaking on the rocks below, a single lit window";

/// The id of the `nth` job of that size.
pub fn id(size: usize, nth: usize) -> String {
    format!("{size:08}-0000-4000-8000-{nth:012}")
}

/// The nodes of the `nth` prompt, as the API and as the editor write them, about `bytes` long together.
pub fn nodes(bytes: usize, nth: usize) -> (String, String) {
    let (mut prompt, mut editor) = (String::new(), String::new());
    for node in 1.. {
        if prompt.len() + editor.len() > bytes {
            break;
        }
        let class = CLASSES[node % CLASSES.len()];
        let comma = if node == 1 { "" } else { ", " };
        let text = if class == "CLIPTextEncode" { TEXT } else { "euler" };
        let _ = write!(
            prompt,
            "{comma}\"{node}\": {{\"inputs\": {{\"seed\": {seed}, \"steps\": 20, \"cfg\": 7.5, \"denoise\": 0.65, \
             \"text\": \"{text}\", \"model\": [\"{node}\", 0], \"positive\": [\"6\", 1]}}, \"class_type\": \"{class}\", \
             \"_meta\": {{\"title\": \"{class} \\\"{node}\\\"\"}}}}",
            seed = 156_680_208 + node * 7_919 + nth,
        );
        let _ = write!(
            editor,
            "{comma}{{\"id\": {node}, \"type\": \"{class}\", \"pos\": [{x}, 186.25], \"size\": [315, 262], \
             \"flags\": {{\"collapsed\": false}}, \"order\": {node}, \"mode\": 0, \"inputs\": [{{\"name\": \"model\", \
             \"type\": \"MODEL\", \"link\": 1}}, {{\"name\": \"positive\", \"type\": \"CONDITIONING\", \"link\": 4}}], \
             \"outputs\": [{{\"name\": \"LATENT\", \"type\": \"LATENT\", \"links\": [7, 9], \"slot_index\": 0}}], \
             \"properties\": {{\"Node name for S&R\": \"{class}\"}}, \"widgets_values\": [{node}, \"randomize\", 20, 8.5, \
             \"{text}\", \"normal\", 1]}}",
            x = 863 + node * 40,
        );
    }
    (prompt, editor)
}

/// The answer to `GET /api/jobs/{id}`.
pub fn detail(size: usize, nth: usize) -> String {
    let (entry, id) = (listed(size, nth), id(size, nth));
    let (prompt, editor) = nodes(size * 1_000 - 1_250, nth);
    format!(
        "{open}, \"outputs\": {{\"9\": {{\"images\": [{{\"filename\": \"ComfyUI_{nth:05}_.png\", \"subfolder\": \"\", \
         \"type\": \"output\"}}]}}}}, \"execution_status\": {{\"status_str\": \"success\", \"completed\": true, \
         \"messages\": [[\"execution_start\", {{\"prompt_id\": \"{id}\", \"timestamp\": 1764000001100}}], \
         [\"execution_success\", {{\"prompt_id\": \"{id}\", \"timestamp\": 1764000009200}}]]}}, \"workflow\": \
         {{\"prompt\": {{{prompt}}}, \"extra_data\": {{\"client_id\": \"bench\", \"create_time\": 1764000000000, \
         \"extra_pnginfo\": {{\"workflow\": {{\"last_node_id\": 9, \"nodes\": [{editor}], \"version\": 0.4}}}}}}}}}}",
        open = entry.trim_end_matches('}'),
    )
}

/// The `nth` job of that size as a list has it.
pub fn listed(size: usize, nth: usize) -> String {
    let id = id(size, nth);
    format!(
        "{{\"id\": \"{id}\", \"status\": \"completed\", \"priority\": {nth}, \"create_time\": {created}, \
         \"execution_start_time\": {started}, \"execution_end_time\": {ended}, \"outputs_count\": 1}}",
        created = 1_764_000_000_000_u64 + nth as u64 * 10,
        started = 1_764_000_000_001_u64 + nth as u64 * 10,
        ended = 1_764_000_000_002_u64 + nth as u64 * 10,
    )
}

/// The answer to `GET /api/jobs`: as many as a list shows, newest first.
pub fn list() -> String {
    let jobs: Vec<String> = (0..LISTED).rev().map(|nth| listed(SIZES[0], nth)).collect();
    format!(
        "{{\"jobs\": [{}], \"pagination\": {{\"offset\": 0, \"limit\": null, \"total\": {LISTED}, \"has_more\": false}}}}",
        jobs.join(", ")
    )
}
