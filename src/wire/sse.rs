//! `text/event-stream` (WHATWG HTML §9.2), cut into blocks so that each event can be counted and held back. What is passed on is
//! byte for byte what came.

use crate::money::decimal_u64;
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::{fmt, mem};

const BOM: &[u8] = b"\xEF\xBB\xBF";
/// As much of a line as tells whether it is a data field: a byte order mark and `data:`.
const HEAD: usize = 8;
/// The event in which an origin says how many units it delivered.
const UNITS_EVENT: &[u8] = b"payment-units";

/// A part of a stream that ends with a blank line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block<'c> {
    /// The bytes as they came, with all line ends. Borrowed from the chunk unless the block began in an earlier one.
    pub bytes: Cow<'c, [u8]>,
    /// Whether a client gets an event from it. Blocks without a data field (comments, `id`, `retry`, a name alone) are none.
    pub billable: bool,
    /// A byte order mark counts only at the very start of a stream.
    bom: bool,
}

/// One block exceeds the limit. The stream cannot be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Cuts a stream into blocks, whatever its chunks.
///
/// [`push`](Self::push) takes each chunk as it comes and gives the blocks that it completes; [`finish`](Self::finish) gives what is
/// left at the end of the stream. After [`TooLong`] there is nothing more to be had.
///
/// ```
/// use mpp_edge::wire::sse::Splitter;
///
/// let mut splitter = Splitter::new(1024);
/// let mut events = 0;
/// for chunk in [&b": a comment\n\nda"[..], b"ta: 1\n\ndata: 2\n\n", b"data: cut o"] {
///     for block in splitter.push(chunk) {
///         events += u32::from(block?.billable);
///     }
/// }
/// assert_eq!(events, 2);
/// assert_eq!(splitter.finish(), b"data: cut o");
/// # Ok::<(), mpp_edge::wire::sse::TooLong>(())
/// ```
#[derive(Clone, Debug)]
pub struct Splitter {
    limit: usize,
    /// What came of the block that is not complete yet.
    held: Vec<u8>,
    has_data: bool,
    bom: bool,
    /// The first bytes of the line that is not complete yet.
    head: [u8; HEAD],
    head_length: usize,
    first_line: bool,
    /// The last chunk ended with a CR: an LF at the start of the next belongs to the same line end.
    after_cr: bool,
    failed: bool,
}

/// The blocks that a chunk completes.
#[derive(Debug)]
#[must_use = "what is not taken from it is lost for the splitter"]
pub struct Blocks<'s, 'c> {
    splitter: &'s mut Splitter,
    rest: &'c [u8],
}

impl Splitter {
    /// A splitter that holds no more than `limit` bytes of one block.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            held: Vec::new(),
            has_data: false,
            bom: false,
            head: [0; HEAD],
            head_length: 0,
            first_line: true,
            after_cr: false,
            failed: false,
        }
    }

    /// Takes the next chunk. The iterator must be read to its end.
    ///
    /// An event is given out with the byte that completes it. When that is a CR and the chunk ends there, the LF that may follow
    /// comes as a block of its own, not billable: to wait for it would delay the last event before every pause of a stream whose
    /// lines end with CR, and to withhold an LF that is there would delay clients that look for it.
    pub const fn push<'s, 'c>(&'s mut self, chunk: &'c [u8]) -> Blocks<'s, 'c> {
        Blocks { splitter: self, rest: chunk }
    }

    /// Whether a block has begun that is not complete.
    pub const fn is_amid(&self) -> bool {
        !self.held.is_empty()
    }

    /// What came after the last blank line. Clients that follow the standard ignore it at the end of a stream, others take it for an
    /// event, and whatever is written after it becomes part of it.
    pub fn finish(self) -> Vec<u8> {
        self.held
    }

    /// Takes a part of a line, without its end.
    fn see(&mut self, part: &[u8]) {
        for (kept, byte) in self.head.iter_mut().skip(self.head_length).zip(part) {
            *kept = *byte;
            self.head_length += 1;
        }
    }

    /// Ends a line and says whether it was blank.
    fn end_line(&mut self) -> bool {
        let mut line = self.head.get(..self.head_length).unwrap_or_default();
        if mem::take(&mut self.first_line)
            && let Some(text) = line.strip_prefix(BOM)
        {
            line = text;
            self.bom = true;
        }
        self.head_length = 0;
        self.has_data |= field(line).0 == b"data";
        line.is_empty()
    }

    /// Whether the block may have `more` bytes.
    fn has_room(&self, more: usize) -> bool {
        self.held.len().saturating_add(more) <= self.limit
    }
}

impl<'c> Blocks<'_, 'c> {
    /// Ends the block after `length` bytes of the chunk.
    fn cut(&mut self, length: usize) -> Block<'c> {
        let (part, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.rest = rest;
        let mut held = mem::take(&mut self.splitter.held);
        let bytes = if held.is_empty() {
            Cow::Borrowed(part)
        } else {
            held.extend_from_slice(part);
            Cow::Owned(held)
        };
        Block { bytes, billable: mem::take(&mut self.splitter.has_data), bom: mem::take(&mut self.splitter.bom) }
    }

    fn fail(&mut self) -> TooLong {
        self.rest = &[];
        self.splitter.held = Vec::new();
        self.splitter.failed = true;
        TooLong
    }
}

impl<'c> Iterator for Blocks<'_, 'c> {
    type Item = Result<Block<'c>, TooLong>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = *self.rest.first()?;
        if self.splitter.failed {
            return Some(Err(self.fail()));
        }
        let mut length = 0;
        if mem::take(&mut self.splitter.after_cr) && first == b'\n' {
            length = 1;
            if self.splitter.held.is_empty() {
                return Some(Ok(self.cut(length)));
            }
        }
        loop {
            let ahead = self.rest.get(length..).unwrap_or_default();
            let mut parts = ahead.splitn(2, is_line_end);
            let line = parts.next().unwrap_or_default();
            self.splitter.see(line);
            let Some(after) = parts.next() else { break };
            length += line.len() + 1;
            let blank = self.splitter.end_line();
            let too_long = blank && !self.splitter.has_room(length);
            if ahead.get(line.len()) == Some(&b'\r') {
                match after.first() {
                    Some(b'\n') => length += 1,
                    Some(_) => {}
                    None => self.splitter.after_cr = true,
                }
            }
            if too_long {
                return Some(Err(self.fail()));
            }
            if blank {
                return Some(Ok(self.cut(length)));
            }
        }
        if !self.splitter.has_room(self.rest.len()) {
            return Some(Err(self.fail()));
        }
        self.splitter.held.extend_from_slice(mem::take(&mut self.rest));
        None
    }
}

impl Block<'_> {
    /// Whether it is an event named `payment-units`, and the number in it if its data is a plain decimal number and
    /// nothing else.
    pub fn report(&self) -> Option<Option<u64>> {
        let text = if self.bom { self.bytes.strip_prefix(BOM).unwrap_or(&self.bytes) } else { &self.bytes };
        let (mut name, mut data, mut lines) = (&b""[..], None, 0_u32);
        for line in text.split(is_line_end) {
            match field(line) {
                (b"event", value) => name = value,
                (b"data", value) => {
                    data = Some(value);
                    lines = lines.saturating_add(1);
                }
                _ => {}
            }
        }
        // Several data fields are lines of one text, which is no number.
        let number = || data.filter(|_| lines == 1).and_then(|data| core::str::from_utf8(data).ok()).and_then(decimal_u64);
        (name == UNITS_EVENT).then(number)
    }
}

/// An event of our own, to be written between two blocks.
pub fn event(name: &'static str, json: &str) -> String {
    // A line break in JSON is white space, but in a stream it would end the field.
    format!("event: {name}\ndata: {}\n\n", json.replace(['\r', '\n'], " "))
}

const fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// A line's field name and value. A comment has no name.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = line.splitn(2, |byte| *byte == b':');
    let name = parts.next().unwrap_or_default();
    let value = parts.next().unwrap_or_default();
    (name, value.strip_prefix(b" ").unwrap_or(value))
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event of the stream is longer than the gateway may hold")
    }
}

impl core::error::Error for TooLong {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Chunks, the blocks they are cut into with whether each is billable, and the tail.
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, bool)], &'a str);

    /// The blocks of a stream, each with whether it is billable, and the tail.
    fn split<'c>(chunks: &[&'c str]) -> (Vec<(Cow<'c, str>, bool)>, String) {
        let mut splitter = Splitter::new(100);
        let mut blocks = vec![];
        for chunk in chunks {
            for block in splitter.push(chunk.as_bytes()) {
                let block = block.unwrap();
                let text = match block.bytes {
                    Cow::Borrowed(bytes) => Cow::Borrowed(core::str::from_utf8(bytes).unwrap()),
                    Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).unwrap()),
                };
                blocks.push((text, block.billable));
            }
        }
        (blocks, String::from_utf8(splitter.finish()).unwrap())
    }

    #[test]
    fn blocks_end_with_a_blank_line_and_are_billable_with_a_data_field() {
        let cases: &[Case<'_>] = &[
            (&[], &[], ""),
            (&["data: a\n\n"], &[("data: a\n\n", true)], ""),
            (&["data: a\n\ndata: b\n\n"], &[("data: a\n\n", true), ("data: b\n\n", true)], ""),
            (&["data: a\ndata: b\n\n"], &[("data: a\ndata: b\n\n", true)], ""),
            (&["data: a\n"], &[], "data: a\n"),
            (&["data: a\n\ndata: b"], &[("data: a\n\n", true)], "data: b"),
            // An empty data field makes an event.
            (&["data\n\n"], &[("data\n\n", true)], ""),
            (&["data:\n\n"], &[("data:\n\n", true)], ""),
            (&["event: x\nid: 1\ndata:x\nretry: 9\n\n"], &[("event: x\nid: 1\ndata:x\nretry: 9\n\n", true)], ""),
            // These make none.
            (&["\n"], &[("\n", false)], ""),
            (&[": comment\n\n"], &[(": comment\n\n", false)], ""),
            (&[":data: a\n\n"], &[(":data: a\n\n", false)], ""),
            (&["id: 1\n\n"], &[("id: 1\n\n", false)], ""),
            (&["retry: 1\n\n"], &[("retry: 1\n\n", false)], ""),
            (&["event: data\n\n"], &[("event: data\n\n", false)], ""),
            (&["Data: a\n\n"], &[("Data: a\n\n", false)], ""),
            (&[" data: a\n\n"], &[(" data: a\n\n", false)], ""),
            (&["data : a\n\n"], &[("data : a\n\n", false)], ""),
            (&["database: a\n\n"], &[("database: a\n\n", false)], ""),
            (&["dat\n\n"], &[("dat\n\n", false)], ""),
            // What one block had does not count for the next.
            (&["data: a\n\n: b\n\n"], &[("data: a\n\n", true), (": b\n\n", false)], ""),
            (&["data: a\n\n\n"], &[("data: a\n\n", true), ("\n", false)], ""),
            // Line ends of any kind.
            (&["data: a\r\rdata: b\r\r"], &[("data: a\r\r", true), ("data: b\r\r", true)], ""),
            (&["data: a\r\n\r\n: b\r\n\r\n"], &[("data: a\r\n\r\n", true), (": b\r\n\r\n", false)], ""),
            (&["data: a\r\n"], &[], "data: a\r\n"),
            (&["data: a\n\r\ndata: b\r\n\n"], &[("data: a\n\r\n", true), ("data: b\r\n\n", true)], ""),
            (&["data: a\n\rdata: b\r\r\n"], &[("data: a\n\r", true), ("data: b\r\r\n", true)], ""),
            // Across chunks.
            (&["da", "", "ta", ": a", "\n", "\nda"], &[("data: a\n\n", true)], "da"),
            (&["da", "tabase\n\n"], &[("database\n\n", false)], ""),
            (&["data: a\r", "\ndata: b\r", "\n\r", "\n"], &[("data: a\r\ndata: b\r\n\r", true), ("\n", false)], ""),
            (&["data: a\r", "", "\n"], &[], "data: a\r\n"),
            (&["data: a\r\r", "\n\n"], &[("data: a\r\r", true), ("\n", false), ("\n", false)], ""),
            (&["data: a\r\r", "data: b\n\n"], &[("data: a\r\r", true), ("data: b\n\n", true)], ""),
            // A byte order mark, once and only at the start.
            (&["\u{feff}data: a\n\n"], &[("\u{feff}data: a\n\n", true)], ""),
            (&["\u{feff}\n"], &[("\u{feff}\n", false)], ""),
            (&["\u{feff}\u{feff}data: a\n\n"], &[("\u{feff}\u{feff}data: a\n\n", false)], ""),
            (&["\n\u{feff}data: a\n\n"], &[("\n", false), ("\u{feff}data: a\n\n", false)], ""),
            (&[":\n\u{feff}\n\n"], &[(":\n\u{feff}\n\n", false)], ""),
        ];
        for (chunks, blocks, tail) in cases {
            let (found, rest) = split(chunks);
            let found: Vec<_> = found.iter().map(|(text, billable)| (text.as_ref(), *billable)).collect();
            assert_eq!((&found[..], rest.as_str()), (*blocks, *tail), "{chunks:?}");
        }
    }

    #[test]
    fn only_a_block_that_began_in_an_earlier_chunk_is_copied() {
        let (blocks, _) = split(&["data: a\n\ndata", ": b\n\ndata: c\n\n"]);
        let copied: Vec<_> = blocks.iter().map(|(text, _)| matches!(text, Cow::Owned(_))).collect();
        assert_eq!(copied, [false, true, false]);
    }

    #[test]
    fn a_block_past_the_limit_ends_the_stream_after_those_before_it() {
        for chunks in
            [&["data: a\n\ndata: bc\n\ndata: d\n\n"][..], &["data: a\n\n", "data: bc", "\n\n", "data: d\n\n"], &["data: a\n\ndata: bcdef"]]
        {
            let mut splitter = Splitter::new(9);
            let mut found = vec![];
            for chunk in chunks {
                found.extend(splitter.push(chunk.as_bytes()).map(|block| block.map(|block| block.bytes.into_owned())));
            }
            let (good, bad) = found.split_at(1);
            assert_eq!(good, [Ok(b"data: a\n\n".to_vec())]);
            assert!(!bad.is_empty() && bad.iter().all(|one| *one == Err(TooLong)), "{chunks:?} {bad:?}");
            assert!(splitter.finish().is_empty());
        }
    }

    #[test]
    fn the_last_lf_of_a_block_does_not_count_towards_the_limit() {
        for chunks in [&["data: a\r\r\n"][..], &["data: a\r\r", "\n"]] {
            let mut splitter = Splitter::new(9);
            assert!(chunks.iter().all(|chunk| splitter.push(chunk.as_bytes()).all(|block| block.is_ok())), "{chunks:?}");
        }
    }

    #[test]
    fn units_are_read_from_their_event_only() {
        for (text, units) in [
            ("event: payment-units\ndata: 42\n\n", Some(42)),
            ("data:42\nid: 1\nevent:payment-units\n\n", Some(42)),
            ("\u{feff}event: payment-units\r\ndata: 0\r\n\r\n", Some(0)),
            ("event: other\nevent: payment-units\ndata: 18446744073709551615\n\n", Some(u64::MAX)),
            ("event: payment-units\nevent: other\ndata: 42\n\n", None),
            ("event: payment-units\nevent\ndata: 42\n\n", None),
            ("event: payment-units\n\n", None),
            ("event: payment-units\ndata: 18446744073709551616\n\n", None),
            ("event: payment-units\ndata: 4\ndata: 2\n\n", None),
            ("event: payment-units\ndata\ndata: 42\n\n", None),
            ("event: payment-units\ndata:  42\n\n", None),
            ("event: payment-units\ndata: 042\n\n", None),
            ("event: payment-units\ndata: -1\n\n", None),
            ("event: payment-units\ndata: 4e2\n\n", None),
            ("event:  payment-units\ndata: 42\n\n", None),
            ("event: payment-unit\ndata: 42\n\n", None),
            ("data: 42\n\n", None),
            ("\n", None),
        ] {
            let mut splitter = Splitter::new(100);
            let blocks: Vec<_> = splitter.push(text.as_bytes()).map(Result::unwrap).collect();
            assert_eq!(blocks.len(), 1, "{text}");
            assert_eq!(blocks[0].report().flatten(), units, "{text}");
        }
    }

    #[test]
    fn a_mark_in_the_middle_hides_the_name_of_an_event() {
        let mut splitter = Splitter::new(100);
        let blocks: Vec<_> = splitter.push("\n\u{feff}event: payment-units\ndata: 42\n\n".as_bytes()).map(Result::unwrap).collect();
        assert_eq!((blocks[1].billable, blocks[1].report().flatten()), (true, None));
    }

    #[test]
    fn an_event_is_one_block_whatever_its_json() {
        assert_eq!(event("payment-receipt", r#"{"a":"b"}"#), "event: payment-receipt\ndata: {\"a\":\"b\"}\n\n");
        let text = event("x", "{\n\"a\":\r\n1,\r\"b\":2}");
        assert_eq!(text, "event: x\ndata: { \"a\":  1, \"b\":2}\n\n");
        assert_eq!(split(&[&text]), (vec![(Cow::Borrowed(text.as_str()), true)], String::new()));
    }
}
