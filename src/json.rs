//! What may be said of JSON that could not be read.

use alloc::string::{String, ToString};

/// serde's message without the values that it quotes: they may be secrets, such as an API key in a URL
/// that stands where a list was expected. The position is left out as well, since nobody sees the text it
/// counts in.
pub(crate) fn describe(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    // Field names stand in backquotes as well, and are what the reader needs; a variant is a value.
    let quote = if message.starts_with("unknown variant") { "`" } else { "\"" };
    let Some((before, rest)) = message.split_once(quote) else { return message.to_string() };
    let after = match quote {
        "`" => rest.split_once(quote),
        _ => rest.rsplit_once(quote),
    };
    after.map_or_else(|| message.to_string(), |(_, after)| [before, "…", after].concat())
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
        let error = serde_json::from_str::<crate::gateway::config::Settle>(r#""https://rpc/KEY""#).unwrap_err();
        assert_eq!(describe(&error), "unknown variant …, expected `first` or `after-origin`");
        let error = serde_json::from_str::<Vec<u8>>("[1,").unwrap_err();
        assert_eq!(describe(&error), "EOF while parsing a value");
    }
}
