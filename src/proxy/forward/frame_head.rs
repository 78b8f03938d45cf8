//! The head of a WebSocket's frame (RFC 6455 section 5.2).

/// The rest of a message.
pub(super) const CONTINUATION: u8 = 0;
/// A message of text, or its beginning.
pub(super) const TEXT: u8 = 1;
/// From here on frames are of the connection, and stand between those of messages.
pub(super) const CONTROL: u8 = 8;
/// The last frame.
pub(super) const CLOSE: u8 = 8;

/// What a frame's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// It is the last one of its message.
    pub last: bool,
    /// What kind it is.
    pub opcode: u8,
    /// It is as the sender wrote it: no extension has changed it, and no mask.
    pub plain: bool,
    /// How long its payload is, in bytes.
    pub length: u64,
}

impl FrameHead {
    /// Reads a head, once it is whole.
    pub(super) fn parse(head: &[u8]) -> Option<Self> {
        let (first, second) = (*head.first()?, *head.get(1)?);
        let is_masked = second & 0x80 != 0;
        let mask = if is_masked { 4 } else { 0 };
        let (short, extended) = match second & 0x7f {
            126 => (0, 2),
            127 => (0, 8),
            short => (u64::from(short), 0),
        };
        let whole = head.len() >= 2 + extended + mask;
        let long = head.iter().skip(2).take(extended);
        whole.then(|| Self {
            last: first & 0x80 != 0,
            opcode: first & 0x0f,
            plain: first & 0x70 == 0 && !is_masked,
            length: long.fold(short, |length, byte| length << 8 | u64::from(*byte)),
        })
    }

    /// Writes the head of a message of text in one frame.
    pub(super) fn write_text(length: usize, out: &mut Vec<u8>) {
        out.push(0x80 | TEXT);
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ ..126), _) => out.push(short),
            (_, Ok(long)) => {
                out.push(126);
                out.extend_from_slice(&long.to_be_bytes());
            }
            _ => {
                out.push(127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
    }
}
