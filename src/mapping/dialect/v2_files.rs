//! What Comfy API v2 and ComfyUI call files: uploads, what is shown of them, and their places in a prompt.

use crate::{
    http::buffered::{Buffer, BufferError},
    mapping::json::{MemberPath, ScanError, Scanner, Span, find_spans, key_is, quoted, string_value},
};
use bytes::Bytes;
use serde::Deserialize;

/// The longest folder and name of a file, in bytes.
const LONGEST_NAME: usize = 2_048;
/// What a text in JSON may have that names such a file: escapes make a byte six, and its place may stand behind it.
const LONGEST_TEXT: usize = 6 * (LONGEST_NAME + 64);
/// The longest name of a file or of one folder, in bytes: what file systems take.
const LONGEST_SEGMENT: usize = 255;

/// The calls and names.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct V2FileNames {
    /// ComfyUI's paths that take an upload.
    pub uploads: Vec<String>,
    /// ComfyUI's path that shows a file.
    pub view: String,
    /// Parts of ComfyUI's form.
    pub form: UploadForm,
    /// Where a file can be, as ComfyUI calls it; an upload without a word is in the first, and `/view` means the last.
    pub places: Vec<String>,
    /// Members of the answer to an upload: name, folder and place.
    pub answer: [String; 3],
    /// Parameters of `/view`: name, folder and place.
    pub query: [String; 3],
    /// The parameter of `/view` for a part of the picture, and the word for all of it.
    pub channel: [String; 2],
    /// The path of the server that takes an upload.
    pub take: String,
    /// The part with the file.
    pub file: String,
    /// The part that says what it is called, and what stands before the name there.
    pub path: [String; 2],
    /// The member of the answer with the asset's id.
    pub asset: MemberPath,
    /// The path of an asset's content, with `{id}`.
    pub content: String,
    /// The list of a job's files, as the server tells the job.
    pub outputs: MemberPath,
    /// Members of one of them: its node, its name and its asset.
    pub output: [String; 3],
    /// The member of the Jobs API with a job's files.
    pub shown: MemberPath,
    /// Members of a file there: name, folder and place.
    pub item: [String; 3],
    /// The prompt of a request for a job.
    pub prompt: MemberPath,
    /// The member of a node with its inputs.
    pub inputs: String,
    /// What stands around an asset's id, in JSON, in the place of a file's name.
    pub reference: [String; 2],
}

/// Parts of the form of an upload.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadForm {
    /// The file.
    pub file: String,
    /// Its folder.
    pub folder: String,
    /// Where that is.
    pub place: String,
    /// Whether another file of that name goes.
    pub overwrite: String,
    /// The words for yes.
    pub yes: Vec<String>,
}

/// A file as ComfyUI names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePlace {
    /// Such as `input`.
    pub place: String,
    /// Its folder there; empty for none. No segment of it is empty, or one of dots.
    pub folder: String,
    /// Its name, without a slash.
    pub name: String,
}

impl FilePlace {
    /// What it is called below its place.
    pub fn path(&self) -> String {
        match self.folder.as_str() {
            "" => self.name.clone(),
            folder => format!("{folder}/{}", self.name),
        }
    }

    /// What no other file has.
    pub fn key(&self) -> String {
        format!("{}/{}", self.place, self.path())
    }

    /// The same file with a number behind its name, before what says of which kind it is; `None` where that is too long.
    pub fn numbered(&self, number: usize) -> Option<Self> {
        let stem = self.name.trim_start_matches('.').rfind('.');
        let dots = self.name.len() - self.name.trim_start_matches('.').len();
        let at = stem.map_or(self.name.len(), |at| at + dots);
        let (stem, end) = self.name.split_at_checked(at).unwrap_or((&self.name, ""));
        let numbered = Self {
            name: format!("{stem} ({number}){end}"),
            ..self.clone()
        };
        numbered.is_short().then_some(numbered)
    }

    fn is_short(&self) -> bool {
        let mut parts = self.folder.split('/').chain([self.name.as_str()]);
        parts.all(|part| part.len() <= LONGEST_SEGMENT) && self.folder.len() + self.name.len() < LONGEST_NAME
    }
}

impl V2FileNames {
    /// The file `name` in `folder`, as a client writes it; `None` where that leads out of its place, or is no name.
    pub fn placed(&self, place: Option<&str>, folder: &str, name: &str) -> Option<FilePlace> {
        let place = match place {
            None => self.places.first(),
            Some(place) => self.places.iter().find(|known| *known == place),
        };
        let folder = normal(folder)?;
        let is_name = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
        let file = FilePlace {
            place: place?.clone(),
            folder,
            name: name.to_owned(),
        };
        (is_name && file.is_short()).then_some(file)
    }

    /// What a name says, and the place that it names itself: `name [input]`.
    pub fn annotated<'n>(&self, name: &'n str) -> (&'n str, Option<&str>) {
        let named = self.places.iter().find_map(|place| {
            let before = name
                .strip_suffix(']')?
                .strip_suffix(place.as_str())?
                .strip_suffix('[')?;
            let mut letters = before.chars();
            letters.next_back();
            Some((letters.as_str(), Some(place.as_str())))
        });
        named.unwrap_or((name, None))
    }

    /// The file that a text at a node's input names, if it can be one.
    fn at_input(&self, text: &str) -> Option<FilePlace> {
        let (path, place) = self.annotated(text);
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        (!path.starts_with('/'))
            .then(|| self.placed(place, folder, name))
            .flatten()
    }

    /// A request for a job with references in the place of names of files, where `asset` knows them, in a buffer that is
    /// `empty`; `None` where it knows none of the names in it, or it is no JSON object. All else stays as it is.
    ///
    /// # Errors
    /// The buffer does not take it.
    pub fn with_references(
        &self,
        request: &[u8],
        asset: &dyn Fn(&FilePlace) -> Option<String>,
        empty: Buffer,
    ) -> Result<Option<Bytes>, BufferError> {
        let mut replaced = Replaced {
            request,
            copied: 0,
            out: Ok(empty),
        };
        match self.replace(request, asset, &mut replaced) {
            Ok(()) if replaced.copied > 0 => replaced.finished().map(Some),
            // What is no JSON is refused where it is read.
            Ok(()) | Err(_) => Ok(None),
        }
    }

    fn replace(
        &self,
        request: &[u8],
        asset: &dyn Fn(&FilePlace) -> Option<String>,
        replaced: &mut Replaced<'_>,
    ) -> Result<(), ScanError> {
        let [Some(prompt)] = find_spans(request, [Some(&self.prompt)])? else {
            return Ok(());
        };
        let [before, after] = &self.reference;
        let mut scanner = Scanner::starting(request, prompt.start);
        scanner.members(|scanner, _node| {
            scanner.members(|scanner, member| {
                if !key_is(member.of(request), &self.inputs) {
                    return scanner.value().map(drop);
                }
                scanner.members(|scanner, _input| {
                    let value = scanner.value()?;
                    let text =
                        Some(value.of(request)).filter(|text| text.starts_with(b"\"") && text.len() <= LONGEST_TEXT);
                    let file = text.and_then(string_value).and_then(|text| self.at_input(&text));
                    if let Some(asset) = file.filter(|_| replaced.out.is_ok()).and_then(|file| asset(&file)) {
                        replaced.replace(value, &format!("{before}{}{after}", quoted(&asset)));
                    }
                    Ok(())
                })
            })
        })
    }
}

/// A request on its way into a buffer.
struct Replaced<'r> {
    request: &'r [u8],
    /// How much of it is in the buffer, or was replaced.
    copied: usize,
    out: Result<Buffer, BufferError>,
}

impl Replaced<'_> {
    fn replace(&mut self, span: Span, by: &str) {
        let before = self.request.get(self.copied..span.start).unwrap_or_default();
        self.copied = span.end;
        self.push(before);
        self.push(by.as_bytes());
    }

    fn push(&mut self, data: &[u8]) {
        if let Ok(out) = &mut self.out
            && let Err(error) = out.push(data)
        {
            self.out = Err(error);
        }
    }

    fn finished(mut self) -> Result<Bytes, BufferError> {
        let rest = self.request.get(self.copied..).unwrap_or_default();
        self.push(rest);
        self.out.map(Buffer::into_bytes)
    }
}

/// A folder without empty segments and dots; `None` where it leads out, or is absolute.
fn normal(folder: &str) -> Option<String> {
    if folder.starts_with('/') || folder.contains('\0') {
        return None;
    }
    let mut parts = Vec::new();
    for part in folder.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::{FilePlace, V2FileNames, normal};
    use crate::{
        http::buffered::{BufferBudget, BufferError},
        mapping::{TableFile, dialect::DialectNames},
    };

    fn names() -> V2FileNames {
        let files = TableFile::read_all(None).expect("files");
        let file = files.iter().find(|file| file.name == "dialect-v2").expect("a table");
        let names = DialectNames::parse("v2.toml", &file.text).expect("names");
        names.v2.expect("of v2").files
    }

    fn file(place: &str, folder: &str, name: &str) -> FilePlace {
        FilePlace {
            place: place.to_owned(),
            folder: folder.to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn a_folder_never_leads_out() {
        for (folder, wanted) in [
            ("", Some("")),
            ("a/./b//c/", Some("a/b/c")),
            ("a/../b", Some("b")),
            ("a\\b", Some("a\\b")),
            ("..", None),
            ("a/../../b", None),
            ("/a", None),
            ("a\0", None),
        ] {
            assert_eq!(normal(folder).as_deref(), wanted, "{folder:?}");
        }
    }

    #[test]
    fn a_name_may_say_where_its_file_is() {
        let names = names();
        for (text, wanted) in [
            ("cat.png", Some(file("input", "", "cat.png"))),
            ("cat.png [input]", Some(file("input", "", "cat.png"))),
            ("sub/cat.png [temp]", Some(file("temp", "sub", "cat.png"))),
            ("a/./b/cat.png", Some(file("input", "a/b", "cat.png"))),
            ("猫[output]", Some(file("output", "", ""))),
            ("cat.png [other]", Some(file("input", "", "cat.png [other]"))),
            ("/cat.png", None),
            ("../cat.png", None),
            ("", None),
        ] {
            let wanted = wanted.filter(|file| !file.name.is_empty());
            assert_eq!(names.at_input(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn a_number_stands_before_the_kind() {
        for (name, wanted) in [
            ("cat.png", "cat (1).png"),
            ("cat.tar.gz", "cat.tar (1).gz"),
            ("cat", "cat (1)"),
            (".cat", ".cat (1)"),
            ("..cat.png", "..cat (1).png"),
        ] {
            let numbered = file("input", "", name).numbered(1).expect("short");
            assert_eq!(numbered.name, wanted);
        }
        for (name, length) in [("x", 250), ("x", 251), ("cat.png", 244), ("cat.png", 245)] {
            let name = "y".repeat(length) + name;
            assert_eq!(
                file("input", "", &name).numbered(1).is_some(),
                name.len() <= 251,
                "{name}"
            );
        }
    }

    #[test]
    fn a_folder_and_a_name_together_have_a_limit() {
        let names = names();
        for (parts, is_short) in [(7, true), (8, true), (9, false)] {
            let folder = vec!["x".repeat(226); parts].join("/");
            assert_eq!(
                names.placed(None, &folder, &"y".repeat(226)).is_some(),
                is_short,
                "{parts}"
            );
        }
    }

    #[test]
    fn names_at_inputs_become_references_and_nothing_else_changes() {
        let names = names();
        let asset = |file: &FilePlace| (file.key() == "input/sub/c\"at.png").then(|| "id\"1".to_owned());
        let budget = BufferBudget::new(100_000);
        let with = |request: &str| {
            let buffer = budget.request_buffer(10_000);
            let changed = names.with_references(request.as_bytes(), &asset, buffer).expect("room");
            changed.map(|bytes| String::from_utf8(bytes.into()).expect("text"))
        };
        let name = r#""sub/c\"at.png""#;
        let reference = r#"{"__type": "core/ASSET", "info": {"id": "id\"1"}}"#;
        let request = |input: &str| {
            format!(
                r#" {{"x": {name}, "prompt" : {{"1":{{ "class_type": {name}, "inputs":{{"a":{input} , "b": [{name}], {name}: 1.0,"c": NaN}},"_meta": {{"title": {name}}}}}, "inputs": {name}}}}} "#
            )
        };
        assert_eq!(with(&request(name)).as_deref(), Some(request(reference).as_str()));
        let annotated = r#""sub/c\u0022at.png [input]""#;
        assert_eq!(with(&request(annotated)).as_deref(), Some(request(reference).as_str()));
        for other in [
            r#""sub/cat.png""#,
            "5",
            r#"["1", 0]"#,
            r#""sub/c\"at.png [temp]""#,
            r#""\ud800""#,
        ] {
            assert_eq!(with(&request(other)), None, "{other}");
        }
        let cut = request(name).replace("}} ", "");
        for text in ["{}", "[]", &cut] {
            assert_eq!(with(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_may_be_written_in_escapes() {
        let names = names();
        let path = format!("{}/{}", vec!["x".repeat(250); 6].join("/"), "y".repeat(250));
        let asset = |file: &FilePlace| (file.path() == path).then(|| "1".to_owned());
        let escaped: String = path.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        let request = format!(r#"{{"prompt": {{"1": {{"inputs": {{"a": "{escaped} [input]"}}}}}}}}"#);
        let buffer = BufferBudget::new(1 << 20).request_buffer(1 << 20);
        let changed = names.with_references(request.as_bytes(), &asset, buffer);
        assert!(changed.expect("room").is_some());
    }

    #[test]
    fn references_take_no_more_than_a_prompt_may() {
        let names = names();
        let asset = |_: &FilePlace| Some("x".repeat(4_000));
        let request = format!(
            r#"{{"prompt": {{"1": {{"inputs": {{{}"z": 1}}}}}}}}"#,
            r#""a": "b","#.repeat(1_000)
        );
        let budget = BufferBudget::new(1 << 20);
        for (limit, wanted) in [
            (100_000, BufferError::TooLong(100_000)),
            (10 << 20, BufferError::NoRoom(1 << 20)),
        ] {
            let refused = names.with_references(request.as_bytes(), &asset, budget.request_buffer(limit));
            assert_eq!(refused.expect_err("too long"), wanted);
            assert_eq!(budget.held(), 0, "it is given back");
        }
    }
}
