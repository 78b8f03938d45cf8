//! What an HTTP/2 client sends besides requests (RFC 9113 section 10.5): frames cost it little and the server some work
//! each, and hyper answers pings and settings without end. Who sends hardly anything else is cut off, as nginx does.

/// Clients begin with this (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
/// The bytes that may come besides requests, more than these for each byte of a request or an answer: a client that reads
/// a long answer says so again and again.
const MAX_NOISE: u64 = 1 << 20;
const MAX_NOISE_A_BYTE: u64 = 8;

/// Follows the frames of one connection.
#[derive(Default)]
pub(super) struct Frames {
    at: At,
    /// Bytes of requests.
    requests: u64,
    /// All others.
    noise: u64,
}

/// What the next byte belongs to.
enum At {
    /// The preface, of which so much has come.
    Preface(usize),
    /// No HTTP/2, and no look any more.
    Elsewhere,
    /// The head of a frame, of which so much has come.
    Head([u8; HEAD], usize),
    /// The payload of a frame, of which so much is to come.
    Payload(usize),
}

impl Default for At {
    fn default() -> Self {
        Self::Preface(0)
    }
}

impl Frames {
    /// Goes on by what has come.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            match &mut self.at {
                At::Elsewhere => return,
                At::Preface(come) => {
                    self.at = match PREFACE.get(*come) {
                        Some(expected) if expected != first => At::Elsewhere,
                        _ if *come + 1 == PREFACE.len() => At::Head([0; HEAD], 0),
                        _ => At::Preface(*come + 1),
                    };
                    bytes = rest;
                }
                At::Head(head, come) => {
                    if let Some(byte) = head.get_mut(*come) {
                        *byte = *first;
                    }
                    *come += 1;
                    bytes = rest;
                    if *come == HEAD {
                        let head = *head;
                        self.begin(head);
                    }
                }
                At::Payload(left) => {
                    let skipped = (*left).min(bytes.len());
                    *left -= skipped;
                    bytes = bytes.get(skipped..).unwrap_or_default();
                    if *left == 0 {
                        self.at = At::Head([0; HEAD], 0);
                    }
                }
            }
        }
    }

    fn begin(&mut self, [high, middle, low, kind, ..]: [u8; HEAD]) {
        let length = u32::from_be_bytes([0, high, middle, low]);
        self.noise += HEAD as u64;
        match kind {
            DATA | HEADERS | CONTINUATION => self.requests += u64::from(length),
            _ => self.noise += u64::from(length),
        }
        self.at = match length as usize {
            0 => At::Head([0; HEAD], 0),
            length => At::Payload(length),
        };
    }

    /// Whether the client speaks HTTP/2.
    pub(super) fn are_followed(&self) -> bool {
        matches!(self.at, At::Head(..) | At::Payload(_))
    }

    /// Whether too much else came, for so many bytes of answers.
    pub(super) fn are_noise(&self, answers: u64) -> bool {
        self.noise > MAX_NOISE + MAX_NOISE_A_BYTE.saturating_mul(self.requests.saturating_add(answers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [_, high, middle, low] = (length as u32).to_be_bytes();
        [&[high, middle, low, kind, 0, 0, 0, 0, 1][..], &vec![0; length]].concat()
    }

    fn followed(bytes: &[u8], size: usize) -> Frames {
        let mut frames = Frames::default();
        bytes.chunks(size).for_each(|piece| frames.follow(piece));
        frames
    }

    #[test]
    fn frames_are_followed_however_they_are_cut() {
        let frames = [
            (4, 0),
            (HEADERS, 300),
            (CONTINUATION, 1),
            (DATA, 70_000),
            (PING, 8),
            (DATA, 0),
        ];
        let bytes: Vec<u8> = frames.iter().flat_map(|(kind, length)| frame(*kind, *length)).collect();
        let bytes = [PREFACE, &bytes].concat();
        for size in [1, 2, 9, 10, 1000, bytes.len()] {
            let frames = followed(&bytes, size);
            assert_eq!(
                (frames.requests, frames.noise),
                (70_301, 6 * 9 + 8),
                "in pieces of {size}"
            );
            assert!(frames.are_followed());
        }
    }

    #[test]
    fn what_is_no_http2_is_not_looked_at() {
        for begun in [
            "GET / HTTP/1.1\r\n\r\n",
            "PRI * HTTP/1.1\r\n\r\n",
            "PUT /PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            let bytes = [begun.as_bytes(), &frame(PING, 4 << 20)].concat();
            let frames = followed(&bytes, 4096);
            assert!(!frames.are_followed() && !frames.are_noise(0), "{begun}");
        }
    }

    #[test]
    fn a_flood_is_noise_and_a_client_that_reads_a_long_answer_is_not() {
        let flood = frame(PING, 8).repeat(100_000);
        assert!(followed(&[PREFACE, &flood].concat(), 4096).are_noise(0));
        // A window is opened again after 4 KiB, of the answer and of the connection.
        let windows = frame(WINDOW_UPDATE, 4).repeat(200_000);
        let reading = followed(&[PREFACE, &windows].concat(), 4096);
        assert!(!reading.are_noise(100_000 * 4096) && reading.are_noise(0));
        let upload = [frame(DATA, 16_384), frame(PING, 8)].concat().repeat(1000);
        assert!(!followed(&[PREFACE, &upload].concat(), 4096).are_noise(0));
    }
}
