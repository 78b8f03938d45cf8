//! Where in a text a byte is, followed byte by byte: what comes in pieces can be cut anywhere.
//!
//! What goes wrong in a text is not found out here: whoever reads the copy finds it there.

/// What a byte does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
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
pub(super) struct Cursor {
    /// How many objects and lists are open.
    pub depth: usize,
    string: bool,
    escaped: bool,
}

impl Cursor {
    pub(super) fn step(&mut self, byte: u8) -> Mark {
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
