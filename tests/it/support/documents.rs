//! The documents that people read, and what tests need of them: blocks of code, tables, headings.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// One file of Markdown.
pub struct Document {
    /// From the repository's root, such as `docs/cloud.md`.
    pub path: String,
    pub text: String,
}

/// One block of code.
pub struct Block {
    /// The document and the line where it begins.
    pub place: String,
    /// What stands behind the fence.
    pub language: String,
    /// `name`, if `<!-- name -->` stands before it.
    pub mark: Option<String>,
    pub text: String,
}

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document there is: those at the root, in `docs/` and `examples/`, and of what is installed beside other programs.
pub fn all() -> Vec<Document> {
    let markdown = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).expect("a folder");
        let files = entries.map(|entry| entry.expect("an entry").path());
        files
            .filter(|path| path.extension().is_some_and(|end| end == "md"))
            .collect()
    };
    let mut paths = markdown(root());
    for folder in ["docs", "examples", "integrations/comfyui", "integrations/python"] {
        paths.extend(markdown(&root().join(folder)));
    }
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// The document at `path`, from the repository's root.
pub fn document(path: &str) -> Document {
    read(&root().join(path))
}

/// The block after `<!-- name -->`, in whichever document.
pub fn marked(name: &str) -> Block {
    let blocks = all().into_iter().flat_map(|document| document.blocks());
    let mut found = blocks.filter(|block| block.mark.as_deref() == Some(name));
    found
        .next()
        .unwrap_or_else(|| panic!("no document has a block <!-- {name} -->"))
}

fn read(path: &Path) -> Document {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let path = path.strip_prefix(root()).expect("a path below the root");
    Document {
        path: path.display().to_string(),
        text,
    }
}

impl Document {
    /// Its blocks of code.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let (mut before, mut lines) = ("", self.text.lines().enumerate());
        while let Some((number, line)) = lines.next() {
            if let Some(language) = line.strip_prefix("```") {
                let text = lines.by_ref().map(|(_, line)| line);
                let text: Vec<&str> = text.take_while(|line| !line.starts_with("```")).collect();
                let mark = before.strip_prefix("<!-- ").and_then(|mark| mark.strip_suffix(" -->"));
                blocks.push(Block {
                    place: format!("{}:{}", self.path, number + 1),
                    language: language.to_owned(),
                    mark: mark.map(str::to_owned),
                    text: text.join("\n") + "\n",
                });
            }
            before = line;
        }
        blocks
    }

    /// The cells of each row of its tables, without heads and rules.
    pub fn rows(&self) -> Vec<Vec<&str>> {
        let lines: Vec<&str> = self.text.lines().collect();
        let is_rule = |line: &str| line.starts_with("| ---");
        let after = |number: usize| lines.get(number + 1).is_some_and(|next| is_rule(next));
        let rows = lines.iter().enumerate();
        rows.filter(|&(number, line)| line.starts_with("| ") && !is_rule(line) && !after(number))
            .map(|(_, line)| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect()
    }

    /// What its headings are called in links.
    pub fn anchors(&self) -> Vec<String> {
        let headings = self.text.lines().filter(|line| line.starts_with('#'));
        let slug = |heading: &str| -> String {
            let letters = heading.trim_start_matches('#').trim().chars();
            letters
                .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
                .map(|letter| {
                    if letter == ' ' {
                        '-'
                    } else {
                        letter.to_ascii_lowercase()
                    }
                })
                .collect()
        };
        headings.map(slug).collect()
    }
}
