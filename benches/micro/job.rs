//! Jobs as a server tells them, of about the size asked for: a prompt of some twenty kinds of nodes, and the drawing of it
//! that the web page sends along, which is most of a real job.

/// The detail of one finished job, about `size` bytes, spaced as Python spaces it.
pub fn detail(id: &str, size: usize) -> String {
    let mut nodes = 4;
    loop {
        let text = with_nodes(id, nodes);
        if text.len() >= size {
            return text;
        }
        nodes += 1;
    }
}

const KINDS: [(&str, &str, &str); 8] = [
    (
        "CheckpointLoaderSimple",
        r#""ckpt_name": "sd_xl_base_1.0.safetensors""#,
        "MODEL",
    ),
    (
        "CLIPTextEncode",
        r#""text": "a lighthouse on a cliff at dusk, \"golden hour\", volumetric light, 35mm, highly detailed\nno people, (sea spray:1.2)", "clip": ["1", 1]"#,
        "CONDITIONING",
    ),
    (
        "KSampler",
        r#""seed": 156680208700286, "steps": 20, "cfg": 7.5, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 0.8700000000000001, "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["5", 0]"#,
        "LATENT",
    ),
    (
        "LoraLoader",
        r#""lora_name": "detail_tweaker.safetensors", "strength_model": 0.6, "strength_clip": 1.0, "model": ["1", 0], "clip": ["1", 1]"#,
        "MODEL",
    ),
    ("VAEDecode", r#""samples": ["3", 0], "vae": ["1", 2]"#, "IMAGE"),
    (
        "ImageScaleBy",
        r#""upscale_method": "lanczos", "scale_by": 1.5, "image": ["8", 0]"#,
        "IMAGE",
    ),
    (
        "EmptyLatentImage",
        r#""width": 1024, "height": 1024, "batch_size": 1"#,
        "LATENT",
    ),
    (
        "SaveImage",
        r#""filename_prefix": "jobs/lighthouse", "images": ["8", 0]"#,
        "IMAGE",
    ),
];

fn with_nodes(id: &str, count: usize) -> String {
    let (mut prompt, mut drawn, mut links, mut outputs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for nth in 1..=count {
        let (class, inputs, kind) = KINDS[nth % KINDS.len()];
        prompt.push(format!(
            r#""{nth}": {{"inputs": {{{inputs}}}, "class_type": "{class}", "_meta": {{"title": "{class} {nth}"}}}}"#
        ));
        drawn.push(format!(
            r#"{{"id": {nth}, "type": "{class}", "pos": [{}.{nth}, {}], "size": [315, 262.0], "flags": {{}}, "order": {nth}, "mode": 0, "inputs": [{{"name": "model", "type": "MODEL", "link": {nth}}}, {{"name": "positive", "type": "CONDITIONING", "link": {}}}], "outputs": [{{"name": "{kind}", "type": "{kind}", "slot_index": 0, "links": [{nth}]}}], "properties": {{"Node name for S&R": "{class}", "cnr_id": "comfy-core", "ver": "0.3.65"}}, "widgets_values": [156680208700286, "randomize", 20, 7.5, "dpmpp_2m", "karras", 0.8700000000000001]}}"#,
            nth * 340,
            nth * 35,
            nth + 1
        ));
        links.push(format!(r#"[{nth}, {nth}, 0, {}, 1, "{kind}"]"#, nth + 1));
        if class == "SaveImage" {
            outputs.push(format!(
                r#""{nth}": {{"images": [{{"filename": "lighthouse_{nth:05}_.png", "subfolder": "jobs", "type": "output"}}]}}"#
            ));
        }
    }
    let messages = format!(
        r#"[["execution_start", {{"prompt_id": "{id}", "timestamp": 1795461653868}}], ["execution_cached", {{"nodes": ["1", "2"], "prompt_id": "{id}", "timestamp": 1795461653869}}], ["execution_success", {{"prompt_id": "{id}", "timestamp": 1795461699876}}]]"#
    );
    format!(
        r#"{{"id": "{id}", "status": "completed", "priority": 1, "create_time": 1795461653499, "execution_start_time": 1795461653868, "execution_end_time": 1795461699876, "outputs_count": {}, "preview_output": {{"filename": "lighthouse_00007_.png", "subfolder": "jobs", "type": "output", "nodeId": "7", "mediaType": "images"}}, "workflow_id": "11111111-2222-4333-8444-555555555555", "outputs": {{{}}}, "execution_status": {{"status_str": "success", "completed": true, "messages": {messages}}}, "workflow": {{"prompt": {{{}}}, "extra_data": {{"extra_pnginfo": {{"workflow": {{"id": "11111111-2222-4333-8444-555555555555", "revision": 0, "last_node_id": {count}, "last_link_id": {count}, "nodes": [{}], "links": [{}], "groups": [], "config": {{}}, "extra": {{"ds": {{"scale": 1.1, "offset": [0, -3.25]}}}}, "version": 0.4}}}}, "client_id": "lab", "create_time": 1795461653499}}}}}}"#,
        outputs.len(),
        outputs.join(", "),
        prompt.join(", "),
        drawn.join(", "),
        links.join(", ")
    )
}
