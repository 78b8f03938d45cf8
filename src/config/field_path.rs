//! Paths into an entry, as people write them.

/// `prompt[4].x` as `prompt`, `[4]`, `x`.
pub fn segments(path: &str) -> Vec<String> {
    let spaced = path.replace('[', ".[");
    let segments = spaced.split('.').filter(|segment| !segment.is_empty());
    segments.map(str::to_owned).collect()
}

/// The line, counted from 1, that byte `offset` of `source` stands in.
pub fn line_of(source: &str, offset: usize) -> usize {
    let before = source.as_bytes().get(..offset).unwrap_or(source.as_bytes());
    memchr::memchr_iter(b'\n', before).count() + 1
}
