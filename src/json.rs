//! What may be said of JSON that could not be read.

use alloc::string::{String, ToString};

/// serde's message without the values that it quotes: they may be secrets, such as an API key in a URL
/// that stands where a list was expected. The position is left out as well, since nobody sees the text it
/// counts in.
pub(crate) fn describe(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            let before = message.get(..first).unwrap_or_default();
            let after = message.get(last..).unwrap_or_default().trim_start_matches('"');
            [before, "…", after].concat()
        }
        _ => message.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn quoted_values_are_left_out() {
        let error = serde_json::from_str::<Vec<u8>>(r#""https://rpc/KEY \" at line x""#).unwrap_err();
        assert_eq!(describe(&error), "invalid type: string …, expected a sequence");
        let error = serde_json::from_str::<Vec<u8>>("[1,").unwrap_err();
        assert_eq!(describe(&error), "EOF while parsing a value");
    }
}
