//! Server-Sent Events, read as they come in pieces of any size (the HTML standard, section 9.2).

use memchr::memchr2;

/// What is kept for the next line at most, in bytes.
const MAX_IDLE: usize = 64 << 10;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamedEvent {
    /// Its type; empty where it has none.
    pub name: Vec<u8>,
    /// Its lines of data, with a line feed between each two.
    pub data: Vec<u8>,
}

/// An event, or a line, is longer than this, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {0} bytes")]
pub struct EventTooLong(pub usize);

/// Reads a stream. Nothing of an event that is not ended is told.
pub struct EventStream {
    line: Vec<u8>,
    name: Vec<u8>,
    /// Each line with a line feed behind it.
    data: Vec<u8>,
    /// The last line ended with a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    /// No line has ended so far: a byte order mark may be in front of it.
    is_first: bool,
    max: usize,
}

impl EventStream {
    /// A stream of which no event may take more than `max` bytes.
    pub fn new(max: usize) -> Self {
        Self {
            line: Vec::new(),
            name: Vec::new(),
            data: Vec::new(),
            after_return: false,
            is_first: true,
            max,
        }
    }

    /// What it holds of an event that has not ended, in bytes.
    pub fn held(&self) -> usize {
        self.line.capacity() + self.name.capacity() + self.data.capacity()
    }

    /// The next piece of the stream: the events that end in it go to `heard`.
    ///
    /// # Errors
    /// An event is too long: nothing after it is read.
    pub fn push(&mut self, mut piece: &[u8], mut heard: impl FnMut(StreamedEvent)) -> Result<(), EventTooLong> {
        if self.after_return && !piece.is_empty() {
            self.after_return = false;
            piece = piece.strip_prefix(b"\n").unwrap_or(piece);
        }
        while let Some(end) = memchr2(b'\n', b'\r', piece) {
            let (line, rest) = piece.split_at(end);
            self.add(line)?;
            self.end_line(&mut heard);
            piece = match rest {
                [b'\r', b'\n', rest @ ..] => rest,
                [b'\r'] => {
                    self.after_return = true;
                    &[]
                }
                [_, rest @ ..] => rest,
                [] => &[],
            };
        }
        self.add(piece)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), EventTooLong> {
        if self.line.len() + self.data.len() + bytes.len() > self.max {
            return Err(EventTooLong(self.max));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, heard: &mut impl FnMut(StreamedEvent)) {
        let mut line = &*self.line;
        if std::mem::take(&mut self.is_first) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            let mut data = std::mem::take(&mut self.data);
            // One without data is none.
            if data.pop().is_some() {
                heard(StreamedEvent { name, data });
            }
        } else {
            let (field, value) = match memchr::memchr(b':', line) {
                Some(colon) => {
                    let (field, value) = line.split_at(colon);
                    let value = value.strip_prefix(b":").unwrap_or(value);
                    (field, value.strip_prefix(b" ").unwrap_or(value))
                }
                None => (line, &b""[..]),
            };
            match field {
                b"event" => self.name = value.to_vec(),
                b"data" => {
                    self.data.extend_from_slice(value);
                    self.data.push(b'\n');
                }
                // A comment has an empty name; others say how to ask again.
                _ => {}
            }
        }
        match self.line.capacity() > MAX_IDLE {
            true => self.line = Vec::new(),
            false => self.line.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The events of a stream that comes in pieces of these sizes, over and over.
    fn read(stream: &[u8], sizes: &[usize]) -> Vec<(String, String)> {
        let mut reader = EventStream::new(1 << 16);
        let (mut heard, mut rest) = (Vec::new(), stream);
        for size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            reader
                .push(piece, |event| heard.push((text(event.name), text(event.data))))
                .expect("a short event");
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        heard
    }

    #[test]
    fn fields_comments_and_empty_events_are_read_as_the_standard_says() {
        let stream = "\u{feff}: hello\n\nevent: a\ndata: 1\n\ndata:2\ndata:  3\ndata\nid: 7\nretry: 9\n\nevent: lost\n\ndata\n\ndata: cut off\n";
        let expected = [("a", "1"), ("", "2\n 3\n"), ("", "")];
        let heard = read(stream.as_bytes(), &[stream.len()]);
        let heard: Vec<(&str, &str)> = heard.iter().map(|(name, data)| (&**name, &**data)).collect();
        assert_eq!(heard, expected);
    }

    #[test]
    fn an_event_that_is_too_long_ends_the_reading_also_where_its_lines_are_short() {
        for piece in [
            &b"data: 12345678901234567890"[..],
            b"data: 1234567\ndata: 1234567\ndata: 12345\n",
        ] {
            let mut reader = EventStream::new(20);
            assert_eq!(reader.push(piece, |_| {}), Err(EventTooLong(20)));
        }
        let mut reader = EventStream::new(20);
        for _ in 0..100 {
            assert_eq!(reader.push(b": a comment\ndata: 123\n\n", |_| {}), Ok(()));
        }
    }

    #[test]
    fn what_is_held_is_what_has_come_of_an_event_and_is_let_go() {
        let mut reader = EventStream::new(1 << 20);
        let piece = [b"event: a\ndata: ", &[b'x'; 500_000][..]].concat();
        reader.push(&piece, |_| {}).expect("a short event");
        assert!(reader.held() >= 500_000);
        reader.push(b"\n\n", |_| {}).expect("a short event");
        assert!(reader.held() <= MAX_IDLE, "{}", reader.held());
    }

    proptest! {
        #[test]
        fn pieces_and_line_ends_make_no_difference(
            events in prop::collection::vec(("[a-z]{1,8}", prop::collection::vec("[a-zé: ]{0,12}", 1..4)), 0..8),
            ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r", "\r\n"]), 1..8),
            sizes in prop::collection::vec(1_usize..9, 1..6),
        ) {
            let mut ends = ends.iter().cycle();
            let mut stream = String::new();
            for (name, data) in &events {
                // One for all lines of an event: a return and a line feed of two lines would be one line end.
                let end = ends.next().expect("a line end");
                let data: String = data.iter().map(|part| format!("data: {part}{end}")).collect();
                stream += &format!(": comment{end}event: {name}{end}{data}{end}");
            }
            let expected: Vec<(String, String)> =
                events.iter().map(|(name, data)| (name.clone(), data.join("\n"))).collect();
            prop_assert_eq!(read(stream.as_bytes(), &sizes), expected);
        }
    }
}
