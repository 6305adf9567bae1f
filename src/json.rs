//! What may be said of JSON that could not be read.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

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

/// Where in a text an error was found: the field, such as `routes[0].price`, whose value or name was read last. Empty
/// for the whole. serde_json tells lines and columns only, and a reader that keeps the path would have all code of
/// reading twice.
pub(crate) fn field_of(error: &serde_json::Error, json: &str) -> String {
    let lines = json.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len);
    path_at(json, lines.sum::<usize>().saturating_add(error.column()))
}

/// What a character stands in, from the outermost inwards.
enum Within<'a> {
    Object { key: Option<&'a str> },
    Array { index: usize },
}

/// The path to what ends at `end`.
fn path_at(json: &str, end: usize) -> String {
    let mut path: Vec<Within<'_>> = Vec::new();
    let mut string_from = None;
    let mut escaped = false;
    for (at, char) in json.char_indices().take_while(|(at, _)| *at < end) {
        match (string_from, char) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(from), '"') => {
                if let Some(Within::Object { key: key @ None }) = path.last_mut() {
                    *key = json.get(from..at);
                }
                string_from = None;
            }
            (Some(_), _) => {}
            (None, '"') => string_from = at.checked_add(1),
            (None, '{') => path.push(Within::Object { key: None }),
            (None, '[') => path.push(Within::Array { index: 0 }),
            (None, '}' | ']') => drop(path.pop()),
            (None, ',') => match path.last_mut() {
                Some(Within::Object { key }) => *key = None,
                Some(Within::Array { index }) => *index = index.saturating_add(1),
                None => {}
            },
            (None, _) => {}
        }
    }
    path.iter().fold(String::new(), |path, step| match step {
        Within::Object { key: Some(key) } if path.is_empty() => (*key).to_string(),
        Within::Object { key: Some(key) } => [&path, ".", key].concat(),
        Within::Object { key: None } => path,
        Within::Array { index } => [&path, "[", &index.to_string(), "]"].concat(),
    })
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

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read")]
    struct Shop {
        name: alloc::string::String,
        goods: Vec<Good>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read")]
    struct Good {
        price: u8,
        tags: Option<Vec<alloc::string::String>>,
        settle: Option<crate::gateway::config::Settle>,
    }

    #[test]
    fn errors_name_the_field() {
        for (json, field) in [
            ("[", "[0]"),
            ("1", ""),
            (r#"{"name":"a"}"#, ""),
            (r#"{"name":1}"#, "name"),
            (r#"{"name":{"x":1}}"#, "name"),
            (r#"{"name":["x"]}"#, "name"),
            (r#"{"name":"a","nane":1}"#, "nane"),
            ("{\n  \"name\": \"\u{20ac} \\\" , [ {\",\n  \"goods\": \"x\"\n}", "goods"),
            (r#"{"goods":[{"price":1},{"price":-1}]}"#, "goods[1].price"),
            (r#"{"goods":[{"price":256}]}"#, "goods[0].price"),
            (r#"{"goods":[{"price":1.5}]}"#, "goods[0].price"),
            (r#"{"goods":[{"price":null}]}"#, "goods[0].price"),
            (r#"{"goods":[{"price":1},{"tags":[]}],"name":"a"}"#, "goods[1]"),
            (r#"{"goods":[{"price":1,"tags":["a",2]}]}"#, "goods[0].tags[1]"),
            (r#"{"goods":[{"price":1,"prize":2}]}"#, "goods[0].prize"),
            (r#"{"goods":[{"price":1,"settle":"never"}]}"#, "goods[0].settle"),
            (r#"{"goods":[1]}"#, "goods[0]"),
        ] {
            let error = serde_json::from_str::<Shop>(json).unwrap_err();
            assert_eq!(field_of(&error, json), field, "{json}: {error}");
        }
    }
}
