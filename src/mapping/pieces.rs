//! JSON that comes in pieces and goes on as it came, but for elements of one of its lists: nothing is held but the beginning
//! of an element, until so much of it is known that it can be judged.
//!
//! What goes wrong in a text is not found out here: whoever reads the copy finds it there.

use super::scanner::key_is;

/// How much of an object is held, in bytes, before its beginning is judged: most are shorter, and judged whole.
const USUAL: usize = 4 << 10;
/// The most that is held of an object, in bytes.
const MOST: usize = 1 << 20;
/// The longest key that is compared, in bytes.
const LONGEST_KEY: usize = 1 << 10;

/// Nothing in the beginning of an object tells what is to become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the first {MOST} bytes of a job do not tell which one it is")]
pub struct Unclear;

/// Whether an object is to be left out, by what is known of it: `None` while that is not enough. When it is `whole`, it
/// is all that there is to know.
pub trait Judge {
    /// `object` is well formed; of one that is not whole, members are missing.
    fn leaves_out(&self, object: &[u8], whole: bool) -> Option<bool>;
}

/// What a byte does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Inside,
    Opens,
    Closes,
    Comma,
    Colon,
    StringBegins,
    StringEnds,
}

/// Where in a text a byte is.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// How many objects and lists are open.
    depth: usize,
    string: bool,
    escaped: bool,
}

impl Cursor {
    fn step(&mut self, byte: u8) -> Mark {
        if self.string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.string = false;
                    return Mark::StringEnds;
                }
                _ => {}
            }
            return Mark::Inside;
        }
        match byte {
            b'"' => {
                self.string = true;
                Mark::StringBegins
            }
            b'{' | b'[' => {
                self.depth += 1;
                Mark::Opens
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                Mark::Closes
            }
            b',' => Mark::Comma,
            b':' => Mark::Colon,
            _ => Mark::Inside,
        }
    }
}

/// An object that is held until it is judged.
#[derive(Debug)]
struct Held {
    text: Vec<u8>,
    judge_at: usize,
}

impl Held {
    fn from(judge_at: usize) -> Self {
        Self {
            text: Vec::new(),
            judge_at,
        }
    }

    /// Judges the members so far, behind one of them, if there is enough that is new.
    fn judged_so_far(&mut self, judge: &impl Judge) -> Option<bool> {
        if self.text.len() < self.judge_at {
            return None;
        }
        self.judge_at = self.text.len().saturating_mul(2);
        self.text.push(b'}');
        let verdict = judge.leaves_out(&self.text, false);
        self.text.pop();
        verdict
    }
}

/// The beginning of one object, such as a job's detail, until it is judged.
pub struct Beginning {
    cursor: Cursor,
    held: Held,
}

/// Nothing yet.
impl Default for Beginning {
    fn default() -> Self {
        Self {
            cursor: Cursor::default(),
            held: Held::from(0),
        }
    }
}

impl Beginning {
    /// Takes a piece, and judges by all that came so far.
    pub fn take(&mut self, piece: &[u8], judge: &impl Judge) -> Result<Option<bool>, Unclear> {
        let mut verdict = None;
        for &byte in piece {
            if verdict.is_none() && self.cursor.step(byte) == Mark::Comma && self.cursor.depth == 1 {
                verdict = self.held.judged_so_far(judge);
            }
            self.held.text.push(byte);
        }
        match verdict {
            None if self.held.text.len() > MOST => Err(Unclear),
            verdict => Ok(verdict),
        }
    }

    /// Judges by all of the object.
    pub fn end(&self, judge: &impl Judge) -> bool {
        judge.leaves_out(&self.held.text, true).unwrap_or(false)
    }

    /// All that came so far.
    pub fn text(self) -> Vec<u8> {
        self.held.text
    }
}

/// What becomes of the element that is being read.
#[derive(Debug)]
enum Element {
    Held(Held),
    GoesOn,
    LeftOut,
}

/// Where a text stands with regard to its list.
#[derive(Debug)]
enum Stage {
    /// Outside of it. The innermost object on the way to it is at this depth; the key there is being read, or was, and
    /// is the next on the way.
    Outside {
        on: usize,
        key: Option<Vec<u8>>,
        is_next: bool,
    },
    /// In it.
    Inside {
        depth: usize,
        element: Element,
        /// An element went on already.
        some: bool,
    },
}

/// A copy of a text, without some elements of the list at a path.
pub struct Elements<J> {
    path: Vec<String>,
    judge: J,
    cursor: Cursor,
    stage: Stage,
}

impl<J: Judge> Elements<J> {
    /// Of the list at the dotted `path`.
    pub fn new(path: &str, judge: J) -> Self {
        Self {
            path: path.split('.').map(str::to_owned).collect(),
            judge,
            cursor: Cursor::default(),
            stage: Stage::outside(1),
        }
    }

    /// Copies the next piece to `out`, or what of it is to go on.
    pub fn copy(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Unclear> {
        for &byte in piece {
            let mark = self.cursor.step(byte);
            match &mut self.stage {
                Stage::Outside { on, key, is_next } => {
                    out.push(byte);
                    let here = self.cursor.depth;
                    match mark {
                        Mark::StringBegins if here == *on && !*is_next => *key = Some(Vec::new()),
                        Mark::StringEnds => {
                            let next = self.path.get(on.saturating_sub(1));
                            if let (Some(key), Some(next)) = (key.take(), next) {
                                *is_next = key_is(&key, next);
                            }
                        }
                        Mark::Inside => {
                            if let Some(key) = key.as_mut().filter(|key| key.len() < LONGEST_KEY) {
                                key.push(byte);
                            }
                        }
                        Mark::Opens if *is_next && here == *on + 1 => {
                            let last = *on == self.path.len();
                            self.stage = match (last, byte) {
                                (true, b'[') => Stage::inside(here),
                                (false, b'{') => Stage::outside(here),
                                _ => Stage::outside(*on),
                            };
                        }
                        Mark::Closes if here < *on => self.stage = Stage::outside(here),
                        // Behind a value on the way, whatever it was.
                        Mark::Comma if here == *on => *is_next = false,
                        _ => {}
                    }
                }
                Stage::Inside { depth, element, some } => {
                    let at_end = match mark {
                        Mark::Comma => self.cursor.depth == *depth,
                        Mark::Closes => self.cursor.depth < *depth,
                        _ => false,
                    };
                    if at_end {
                        element.end(&self.judge, some, out);
                        if mark == Mark::Closes {
                            out.push(byte);
                            self.stage = Stage::outside(self.cursor.depth);
                        }
                        continue;
                    }
                    if mark == Mark::Comma && self.cursor.depth == *depth + 1 {
                        element.judge(&self.judge, some, out);
                    }
                    element.take(byte, out)?;
                }
            }
        }
        Ok(())
    }

    /// The text has come to its end; what is left of one that was cut short goes on.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if let Stage::Inside { element, some, .. } = &mut self.stage {
            element.end(&self.judge, some, out);
        }
    }
}

impl Stage {
    fn outside(on: usize) -> Self {
        Self::Outside {
            on,
            key: None,
            is_next: false,
        }
    }

    fn inside(depth: usize) -> Self {
        Self::Inside {
            depth,
            element: Element::Held(Held::from(USUAL)),
            some: false,
        }
    }
}

impl Element {
    fn take(&mut self, byte: u8, out: &mut Vec<u8>) -> Result<(), Unclear> {
        match self {
            Self::Held(held) if held.text.len() >= MOST => return Err(Unclear),
            Self::Held(held) => held.text.push(byte),
            Self::GoesOn => out.push(byte),
            Self::LeftOut => {}
        }
        Ok(())
    }

    /// Judges by the members so far, behind one of them.
    fn judge(&mut self, judge: &impl Judge, some: &mut bool, out: &mut Vec<u8>) {
        if let Self::Held(held) = self
            && let Some(left_out) = held.judged_so_far(judge)
        {
            self.settle(left_out, some, out);
        }
    }

    fn settle(&mut self, left_out: bool, some: &mut bool, out: &mut Vec<u8>) {
        let Self::Held(held) = self else {
            return;
        };
        if left_out {
            *self = Self::LeftOut;
            return;
        }
        if *some {
            out.push(b',');
        }
        // White space alone is no element: the list is empty.
        *some |= !held.text.trim_ascii().is_empty();
        out.append(&mut held.text);
        *self = Self::GoesOn;
    }

    /// The element is whole, and another one may follow.
    fn end(&mut self, judge: &impl Judge, some: &mut bool, out: &mut Vec<u8>) {
        if let Self::Held(held) = self {
            let left_out = judge.leaves_out(&held.text, true).unwrap_or(false);
            self.settle(left_out, some, out);
        }
        *self = Self::Held(Held::from(USUAL));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Paths;
    use proptest::prelude::*;

    /// Leaves out whatever has `"out": 1`.
    #[derive(Clone, Copy)]
    struct Outs;

    impl Judge for Outs {
        fn leaves_out(&self, object: &[u8], whole: bool) -> Option<bool> {
            let mut paths = Paths::default();
            let slot = paths.add("out");
            let spans = paths.find(object).ok();
            let value = spans.and_then(|spans| Some(spans.get(slot)?.as_ref()?.of(object).to_vec()));
            match value {
                Some(value) => Some(value == b"1"),
                None => whole.then_some(false),
            }
        }
    }

    fn copied(path: &str, text: &str, size: usize) -> String {
        let mut elements = Elements::new(path, Outs);
        let mut out = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            elements.copy(piece, &mut out).expect("clear");
        }
        elements.end(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn elements_are_left_out_and_every_other_byte_goes_on() {
        for (text, left) in [
            (r#"{"jobs": []}"#, r#"{"jobs": []}"#),
            (r#"{"jobs": [ ] , "a":1}"#, r#"{"jobs": [ ] , "a":1}"#),
            (r#"{"jobs": [{"out": 1}]}"#, r#"{"jobs": []}"#),
            (r#"{"jobs": [{"out": 1}, {"out": 2} ]}"#, r#"{"jobs": [ {"out": 2} ]}"#),
            (
                r#"{"jobs": [{"a": 1},{"out": 1} , {"b": ","}]}"#,
                r#"{"jobs": [{"a": 1}, {"b": ","}]}"#,
            ),
            (
                r#"{"jobs": [{"x": {"out": 1}}, {"s": "]\"}", "out": 1}, 5, "out", [1, 2]], "more": {"jobs": [{"out": 1}]}}"#,
                r#"{"jobs": [{"x": {"out": 1}}, 5, "out", [1, 2]], "more": {"jobs": [{"out": 1}]}}"#,
            ),
            (
                r#"{"a": {"jobs": [{"out": 1}]}, "b": "jobs", "c": ["jobs", {"out": 1}], "jobs": [{"out": 1}]}"#,
                r#"{"a": {"jobs": [{"out": 1}]}, "b": "jobs", "c": ["jobs", {"out": 1}], "jobs": []}"#,
            ),
            (
                r#"{"jobs": {"jobs": [{"out": 1}]}}"#,
                r#"{"jobs": {"jobs": [{"out": 1}]}}"#,
            ),
            (r#"{"j\u006fbs": [{"out": 1}]}"#, r#"{"j\u006fbs": []}"#),
            (r#"[{"jobs": [{"out": 1}]}]"#, r#"[{"jobs": [{"out": 1}]}]"#),
            ("502 Bad Gateway", "502 Bad Gateway"),
            (r#"{"jobs": [{"a": 1"#, r#"{"jobs": [{"a": 1"#),
        ] {
            for size in [1, 2, 3, 7, 1000] {
                assert_eq!(copied("jobs", text, size), left, "{text} in pieces of {size}");
            }
        }
        let nested = r#"{"b": [{"out": 1}], "a": {"x": 1, "b": [{"out": 1}, {}]}}"#;
        assert_eq!(
            copied("a.b", nested, 3),
            r#"{"b": [{"out": 1}], "a": {"x": 1, "b": [ {}]}}"#
        );
    }

    #[test]
    fn a_long_element_is_judged_by_its_beginning_and_not_held() {
        let long = "x".repeat(3 * MOST);
        for out in [1, 2] {
            let mut elements = Elements::new("jobs", Outs);
            let text = format!(
                r#"{{"jobs": [{{"out": {out}, "pad": "{}", "long": "{long}"}}]}}"#,
                "y".repeat(USUAL)
            );
            let mut copy = Vec::new();
            for piece in text.as_bytes().chunks(1000) {
                elements.copy(piece, &mut copy).expect("clear");
            }
            let left = if out == 1 { r#"{"jobs": []}"# } else { text.as_str() };
            assert_eq!(copy, left.as_bytes());
        }
        let unclear = format!(r#"{{"jobs": [{{"long": "{long}", "out": 1}}]}}"#);
        assert_eq!(
            Elements::new("jobs", Outs).copy(unclear.as_bytes(), &mut Vec::new()),
            Err(Unclear)
        );
        let mut beginning = Beginning::default();
        assert_eq!(beginning.take(&unclear.as_bytes()[10..], &Outs), Err(Unclear));
    }

    #[test]
    fn an_object_is_judged_as_soon_as_its_beginning_tells() {
        let mut beginning = Beginning::default();
        assert_eq!(beginning.take(br#"{"a": {"out": 1},"#, &Outs), Ok(None));
        assert_eq!(beginning.take(br#" "more": 5, "out": 1, "b"#, &Outs), Ok(Some(true)));
        assert_eq!(beginning.text(), br#"{"a": {"out": 1}, "more": 5, "out": 1, "b"#);
        let mut beginning = Beginning::default();
        assert_eq!(beginning.take(br#"{"out": 1}"#, &Outs), Ok(None));
        assert!(beginning.end(&Outs));
    }

    proptest! {
        #[test]
        fn where_nothing_is_left_out_every_text_goes_on_as_it_is(text in "[{}\\[\\]\",:\\\\ a1jobs]{0,60}", size in 1usize..9) {
            struct None;
            impl Judge for None {
                fn leaves_out(&self, _: &[u8], _: bool) -> Option<bool> {
                    Some(false)
                }
            }
            let text = format!("{{\"jobs\": [{text}");
            let mut elements = Elements::new("jobs", None);
            let mut out = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                elements.copy(piece, &mut out).expect("clear");
            }
            elements.end(&mut out);
            // What is no element, such as nothing between two commas, may lose its comma.
            let bare = |text: &[u8]| text.iter().copied().filter(|byte| *byte != b',').collect::<Vec<u8>>();
            prop_assert_eq!(bare(&out), bare(text.as_bytes()));
        }
    }
}
