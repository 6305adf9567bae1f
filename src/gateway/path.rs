//! How an origin may read a path. The gateway cannot know whether the origin decodes `%2f`, folds
//! case, or collapses slashes, so a price must hold for every reading, and none may leave the part of
//! the origin that is sold.

use crate::wire::problem::{Problem, ProblemKind};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// How often servers decode a path, at the most.
const DECODINGS: u8 = 3;

/// What is read of a path, over all forms that it takes by decoding and stripping, in bytes. What it costs
/// to price a request, nobody has paid for.
const LONGEST_READ: usize = 2560;

/// The ways in which an origin may read one path.
#[derive(Clone, Debug)]
pub struct Readings {
    /// The forms that the path takes, in lower case. The first is the path as it stands.
    texts: Vec<String>,
    /// There is but one way.
    is_plain: bool,
}

/// What stands between two slashes, as bytes: it is compared with literals in ASCII.
pub type Segment<'a> = &'a [u8];

/// Why a path is not passed on, free or priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidPath {
    /// It takes too many forms to price them all.
    Ambiguous,
    /// The origin may read it as one outside of its base URL.
    LeavesBase,
}

impl InvalidPath {
    const fn text(self) -> &'static str {
        match self {
            Self::Ambiguous => "path: it can be read in too many ways; encode it once, and shorten it",
            Self::LeavesBase => "path: its dot segments lead out of what is served here; resolve them",
        }
    }
}

impl fmt::Display for InvalidPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for InvalidPath {}

impl From<InvalidPath> for Problem {
    fn from(invalid: InvalidPath) -> Self {
        Self::new(ProblemKind::BadRequest, invalid.text())
    }
}

impl Readings {
    /// All ways of reading `path`.
    ///
    /// # Errors
    /// [`InvalidPath::Ambiguous`] when they are too many.
    pub fn of(path: &str) -> Result<Self, InvalidPath> {
        let text = if path.is_ascii() { path.to_ascii_lowercase() } else { path.to_lowercase() };
        let is_plain = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'/'));
        let mut read = text.len();
        let mut texts = Vec::from([text]);
        if is_plain {
            return Ok(Self { texts, is_plain });
        }
        if read > LONGEST_READ {
            return Err(InvalidPath::Ambiguous);
        }
        // Servers decode and strip parameters in either order, and more than once.
        let mut decodings = Vec::from([0]);
        let mut next = 0;
        while let (Some(text), Some(&decoded)) = (texts.get(next), decodings.get(next)) {
            let mut forms = Vec::new();
            if text.contains(';') {
                forms.push((without_parameters(text), decoded));
            }
            if decoded < DECODINGS && text.contains('%') {
                let text = percent_decode(text);
                // Once decoded, what looks like a query or a fragment may be taken for one.
                if let Some(end) = text.find(['?', '#']) {
                    forms.push((text.get(..end).unwrap_or_default().into(), decoded + 1));
                }
                forms.push((text, decoded + 1));
            }
            for (form, decoded) in forms {
                if texts.contains(&form) {
                    continue;
                }
                read += form.len();
                if read > LONGEST_READ {
                    return Err(InvalidPath::Ambiguous);
                }
                texts.push(form);
                decodings.push(decoded);
            }
            next += 1;
        }
        Ok(Self { texts, is_plain: false })
    }

    /// Hands out the segments of each reading, in lower case; first those of the path as it stands.
    pub fn each<'a>(&'a self, mut visit: impl FnMut(&[Segment<'a>])) {
        let mut segments = Vec::new();
        if let Some(text) = self.texts.first() {
            segments.extend(text.as_bytes().split(|&byte| byte == b'/').filter(|segment| !segment.is_empty()));
            visit(&segments);
        }
        for text in self.texts.iter().filter(|_| !self.is_plain) {
            lenient(text, &mut segments);
            visit(&segments);
            strict(text, &mut segments);
            visit(&segments);
        }
    }

    /// Whether some reading climbs above where the path begins. Who counts empty segments climbs less high,
    /// so the lenient readings tell.
    pub fn climb(&self) -> bool {
        let mut segments = Vec::new();
        !self.is_plain && self.texts.iter().any(|text| lenient(text, &mut segments))
    }
}

/// The path without what follows a `;` in any segment.
fn without_parameters(path: &str) -> String {
    let mut stripped = String::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            stripped.push('/');
        }
        stripped.push_str(segment.split(';').next().unwrap_or_default());
    }
    stripped
}

/// The path as a server reads it that cleans segments up before it resolves dots. Tells whether they lead
/// above where it begins.
fn lenient<'a>(path: &'a str, resolved: &mut Vec<Segment<'a>>) -> bool {
    let mut climbs = false;
    resolved.clear();
    for segment in segments(path) {
        match clean(segment) {
            b"" | b"." => {}
            b".." => climbs |= resolved.pop().is_none(),
            segment => resolved.push(segment),
        }
    }
    climbs
}

/// The path as a server reads it that resolves dots first, as URLs do (RFC 3986 §5.2.4): empty segments
/// count there.
fn strict<'a>(path: &'a str, resolved: &mut Vec<Segment<'a>>) {
    resolved.clear();
    for segment in segments(path).skip(1) {
        match segment {
            b"." => {}
            b".." => {
                resolved.pop();
            }
            segment => resolved.push(segment),
        }
    }
    resolved.retain_mut(|segment| {
        *segment = clean(segment);
        !segment.is_empty()
    });
}

/// Cut at a control character, backslashes as slashes.
fn segments(path: &str) -> impl Iterator<Item = Segment<'_>> {
    let path = path.as_bytes();
    let end = path.iter().position(u8::is_ascii_control).unwrap_or(path.len());
    path.get(..end).unwrap_or_default().split(|&byte| matches!(byte, b'/' | b'\\'))
}

/// Without matrix parameters and trailing dots and spaces. Dot segments stay.
fn clean(segment: Segment<'_>) -> Segment<'_> {
    let end = segment.iter().position(|&byte| byte == b';').unwrap_or(segment.len());
    let without = |segment: Segment<'_>, ends: &[u8]| {
        let kept = segment.iter().rposition(|byte| !ends.contains(byte)).map_or(0, |last| last + 1);
        kept.min(segment.len())
    };
    let segment = segment.get(..end).unwrap_or_default();
    match segment.get(..without(segment, b" ")).unwrap_or_default() {
        dots @ (b"." | b"..") => dots,
        segment => segment.get(..without(segment, b". ")).unwrap_or_default(),
    }
}

/// Decoded once, in lower case.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, tail @ ..] => hex_digit(*high).zip(hex_digit(*low)).map(|(high, low)| (high * 16 + low, tail)),
            _ => None,
        };
        let (byte, tail) = escaped.unwrap_or((*first, tail));
        bytes.push(byte.to_ascii_lowercase());
        rest = tail;
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => text,
        Ok(text) => text.to_lowercase(),
        Err(error) => String::from_utf8_lossy(error.as_bytes()).to_lowercase(),
    }
}

const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn readings(path: &str) -> Vec<Vec<String>> {
        let mut list = vec![];
        Readings::of(path).unwrap().each(|reading| list.push(reading.iter().map(|&part| String::from_utf8_lossy(part).into()).collect()));
        list
    }

    #[test]
    fn a_plain_path_has_one_reading() {
        assert_eq!(readings("/v1/reports/7"), vec![vec!["v1", "reports", "7"]]);
        assert_eq!(readings("/"), vec![Vec::<String>::new()]);
    }

    #[test]
    fn the_readings_of_tricky_paths_hold_the_lenient_one() {
        for path in [
            "//v1/x",
            "/v1//x/",
            "/V1/X",
            "/v1/x;a=b",
            "/v1;a/x",
            "/v1%2fx",
            "/v1%252fx",
            "/%76%31/x",
            "/free/..%2fv1/x",
            "/free/%2e%2e/v1/x",
            "/free/%252e%252e/v1/x",
            "/v1\\x",
            "/v1%5cx",
            "/v1/./x",
            "/v1/x.",
            "/v1/x%20",
            "/v1/x%00.html",
            "/free/../v1/x",
            "/a/b/../../v1/x",
            "/v1//../x",
            "/v1/;/../x",
            "/v1/.../../x",
            "/v1/y//../../x",
            "/v1/%2f../x",
            "/v1/x%3fy",
            "/v1/x%23y",
            "/v1/x%253fy",
            "/v1/%78;a%2fb",
            "/%761;%2f/x",
            "/free%3f%2f..%2fv1%2fx",
            "/free%23/..%2fv1/x",
            "/free/.. /v1/x",
        ] {
            assert!(readings(path).iter().any(|reading| reading == &["v1", "x"]), "{path}: {:?}", readings(path));
        }
    }

    #[test]
    fn the_path_as_it_stands_is_always_a_reading() {
        assert_eq!(readings("/premium/..%2ffree")[0], vec!["premium", "..%2ffree"]);
        assert_eq!(readings("/%zz%").first(), Some(&vec!["%zz%".into()]));
        assert!(readings("/%ff").len() > 1);
    }

    #[test]
    fn a_path_climbs_when_some_reading_does() {
        for path in [
            "/..%2fapi/premium/x",
            "/%2e%2e%2fapi",
            "/..%5capi",
            "/..;/api",
            "/%2e%2e;x=1/api",
            "/..%252fapi",
            "/%252e%252e%25252fapi",
            "/a/..%2f..%2fapi",
            "/%2f..%2fapi",
            "/;/..%2fapi",
            "/a%2f..%2f..%2fa/b",
            "/x%3f/..%2f..%2fapi",
            "/.. /api",
            "/.%2e%20/api",
            "/../api",
        ] {
            assert!(Readings::of(path).unwrap().climb(), "{path}");
        }
        for path in ["/a/..%2fb", "/a/b/..%2f..%2fc", "/..a/b", "/a../b", "/.../b", "/%2e/a", "/a%2fb/..", "/x?y=..%2f..", "/"] {
            let path = path.split('?').next().unwrap();
            assert!(!Readings::of(path).unwrap().climb(), "{path}");
        }
    }

    #[test]
    fn what_takes_too_many_forms_is_refused_and_ordinary_paths_are_not() {
        assert_eq!(Readings::of(&";%25".repeat(4096)).unwrap_err(), InvalidPath::Ambiguous);
        assert_eq!(Readings::of(&format!("/{}", "a%20".repeat(630))).unwrap_err(), InvalidPath::Ambiguous);
        for path in ["%E3%81%82/".repeat(170), "a.b/".repeat(630), "abc/".repeat(2000), "%2525252525".repeat(70), ";%252f".repeat(35)] {
            assert!(Readings::of(&format!("/{path}")).is_ok(), "{path}");
        }
    }
}
