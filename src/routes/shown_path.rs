//! A request's target as it may be shown: the words that servers have in their paths, and nothing of whoever asks.

/// Words of ComfyUI's and the cloud's paths. All else may be an id, the name of somebody's file, or a key.
const WORDS: [&str; 50] = [
    "api",
    "assets",
    "auth",
    "cancel",
    "customers",
    "embeddings",
    "experiment",
    "extensions",
    "features",
    "files",
    "folder_paths",
    "free",
    "global_subgraphs",
    "history",
    "history_v2",
    "i18n",
    "image",
    "internal",
    "interrupt",
    "job",
    "jobs",
    "logs",
    "mask",
    "model",
    "models",
    "object_info",
    "output",
    "prompt",
    "queue",
    "raw",
    "samplers",
    "scripts",
    "settings",
    "status",
    "subscribe",
    "system_stats",
    "tags",
    "templates",
    "temp",
    "upload",
    "user",
    "userdata",
    "users",
    "v1",
    "v2",
    "view",
    "view_metadata",
    "viewvideo",
    "workflow_templates",
    "ws",
];
/// Segments of a path that are shown: no server has as many.
const SEGMENTS: usize = 12;

/// The path of `target` with `{}` for every segment that is none of a server's words, and `?..` for any query.
pub fn shown_path(target: &str) -> String {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut segments = path.trim_start_matches('/').split('/');
    let mut shown = String::new();
    for segment in segments.by_ref().take(SEGMENTS) {
        shown.push('/');
        shown.push_str(match segment {
            "" => "",
            word if WORDS.contains(&word) => word,
            _ => "{}",
        });
    }
    if segments.next().is_some() {
        shown.push_str("/..");
    }
    if query.is_some() {
        shown.push_str("?..");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_servers_are_shown_and_nothing_else() {
        for (target, shown) in [
            ("/", "/"),
            ("/history", "/history"),
            ("/history?max_items=5", "/history?.."),
            ("/api/job/0b6e-11/status", "/api/job/{}/status"),
            ("/view?filename=me.png&token=key", "/view?.."),
            ("/userdata/my%20secret.json", "/userdata/{}"),
            ("/History/x", "/{}/{}"),
            ("//queue/", "/queue/"),
            ("/a/a/a/a/a/a/a/a/a/a/a/a/a", "/{}/{}/{}/{}/{}/{}/{}/{}/{}/{}/{}/{}/.."),
        ] {
            assert_eq!(shown_path(target), shown, "{target}");
        }
    }
}
