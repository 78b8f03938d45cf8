//! `mapping`: the tables as files, and the guide.

use super::{stderr, stdout};
use crate::support::program::run;

#[test]
fn mapping_prints_the_files_and_the_guide() {
    for (name, file) in [("history", "answers/history"), ("dialect-cloud", "dialects/cloud")] {
        let file = std::fs::read_to_string(format!("mappings/{file}.toml")).expect("a table");
        assert!(stdout(&run(&["mapping", name], &[])).contains(&file), "{name}");
    }
    let all = stdout(&run(&["mapping"], &[]));
    assert!(all.contains("history_v2_detail") && all.contains("[probe]"));
    let guide = stdout(&run(&["mapping", "--format", "markdown"], &[]));
    for part in [
        "| `prompt[2]` |",
        "`workflow.prompt`, else `observed.prompt` with its inputs as the server converts them, else `{}`",
        "`workflow.extra_data` without `api_key_comfy_org` where that is `[REDACTED]`",
        "| `GET /history/{id}` | `GET /api/jobs/{id}` | `GET /api/v2/jobs/{id}`, and `GET /api/v2/jobs/{id}/workflow` for what ran |",
        "| `POST /history` | nothing: no call of the Jobs API deletes a job |",
        "| `in_progress` | in `queue_running` |",
        "milliseconds since 1970",
        "```python\n# before",
        "```javascript\n// before",
        "exact",
        "derived",
        "lost",
    ] {
        assert!(guide.contains(part), "{part} is not in {guide}");
    }
    for left in [
        "drop(",
        "typed_inputs",
        "unwrap_items",
        "extend(",
        "{endpoints}",
        "{states}",
    ] {
        assert!(!guide.contains(left), "{left} is in {guide}");
    }
    let one = stdout(&run(&["mapping", "queue", "--format", "markdown"], &[]));
    assert!(one.starts_with("### queue") && !one.contains("history"), "{one}");
    let unknown = run(&["mapping", "nothing"], &[]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("history_v2"), "{}", stderr(&unknown));
}
