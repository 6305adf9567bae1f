//! How an origin may read a path. The gateway cannot know whether the origin decodes `%2f`, folds
//! case, or collapses slashes, so a price must hold for every reading.

use alloc::string::String;
use alloc::vec::Vec;

/// Forms that a path takes by decoding and stripping, at the most: three decodings with all that can be
/// stripped between them.
const MAX_TEXTS: usize = 16;

/// The readings of a path: each a list of lower-case segments. The first is the path as it stands.
pub fn readings(path: &str) -> Vec<Vec<String>> {
    let mut readings = Vec::with_capacity(1);
    readings.push(path.split('/').filter(|segment| !segment.is_empty()).map(str::to_lowercase).collect::<Vec<_>>());
    if path.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'/')) {
        return readings;
    }
    // Servers decode and strip parameters in either order, and more than once.
    let mut texts = Vec::from([String::from(path)]);
    let mut next = 0;
    while let Some(text) = texts.get(next).cloned() {
        for reading in [lenient(&text), strict(&text)] {
            if !readings.contains(&reading) {
                readings.push(reading);
            }
        }
        for text in [percent_decode(&text), without_parameters(&text)] {
            // Once decoded, what looks like a query or a fragment may be taken for one.
            let text = text.split(['?', '#']).next().unwrap_or_default();
            if texts.len() < MAX_TEXTS && !texts.iter().any(|known| known == text) {
                texts.push(text.into());
            }
        }
        next += 1;
    }
    readings
}

/// The path without what follows a `;` in any segment.
fn without_parameters(path: &str) -> String {
    let segments: Vec<&str> = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
    segments.join("/")
}

/// The path as a server reads it that cleans segments up before it resolves dots.
fn lenient(path: &str) -> Vec<String> {
    resolve(segments(path).map(clean).filter(|segment| !segment.is_empty()))
}

/// The path as a server reads it that resolves dots first, as URLs do (RFC 3986 §5.2.4): empty segments
/// count there.
fn strict(path: &str) -> Vec<String> {
    let resolved = resolve(segments(path).skip(1));
    resolved.iter().map(|segment| clean(segment).to_lowercase()).filter(|segment| !segment.is_empty()).collect()
}

/// Cut at a control character, backslashes as slashes.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split(|c: char| c.is_control()).next().unwrap_or_default().split(['/', '\\'])
}

/// Without matrix parameters and trailing dots and spaces. Dot segments stay.
fn clean(segment: &str) -> &str {
    match segment.split(';').next().unwrap_or_default() {
        dots @ ("." | "..") => dots,
        segment => segment.trim_end_matches(['.', ' ']),
    }
}

fn resolve<'a>(segments: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut resolved: Vec<String> = Vec::new();
    for segment in segments {
        match segment {
            "." => {}
            ".." => {
                resolved.pop();
            }
            segment => resolved.push(segment.to_lowercase()),
        }
    }
    resolved
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                bytes.push(high * 16 + low);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

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
}
