//! Reading JSON, and what may be said of what could not be read.
//!
//! serde_json's own reading of a struct is compiled anew for each: spaces, commas, lists that stand for structs, 3 KB each time. Here an
//! object is first taken apart into its members, by code that is there once, and each member is read when its turn comes.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::{self, Vec};
use core::cell::Cell;
use core::fmt;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error as _, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::value::RawValue;
use serde_json::{Error, from_str};

/// Reads all of `json`. A struct is an object, never a list.
///
/// # Errors
/// [`Unreadable`], which names the field.
pub(crate) fn read<'de, T: Deserialize<'de>>(json: &'de str) -> Result<T, Unreadable> {
    let text = Text { json, come_to: Cell::new(0) };
    // Spaces around it would stand in the way of telling what it is.
    T::deserialize(Reader { json: json.trim_matches([' ', '\n', '\r', '\t']), text: &text }).map_err(|error| text.unreadable(&error))
}

/// What is wrong with a text, and with which field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// What is wrong, as [`describe`] has it.
    pub(crate) detail: String,
    /// Such as `routes[0].price`; empty for the whole.
    pub(crate) field: String,
}

/// What is read, and up to where it has been.
struct Text<'de> {
    json: &'de str,
    come_to: Cell<usize>,
}

impl Text<'_> {
    /// Notes that the start or the end of `part`, a part of it, was come to.
    fn come_to(&self, part: &str, is_read: bool) {
        let start = part.as_ptr().addr().saturating_sub(self.json.as_ptr().addr());
        self.come_to.set(if is_read { start.saturating_add(part.len()) } else { start });
    }

    fn unreadable(&self, error: &Error) -> Unreadable {
        Unreadable { detail: describe(error), field: path_at(self.json, self.come_to.get()) }
    }
}

/// Reads one value of a text.
#[derive(Clone, Copy)]
struct Reader<'r, 'de> {
    json: &'de str,
    text: &'r Text<'de>,
}

impl<'r, 'de> Reader<'r, 'de> {
    /// Takes apart what begins with `bracket`.
    fn parts<T: Deserialize<'de>>(self, bracket: char, expected: &dyn Expected) -> Result<T, Error> {
        if self.json.starts_with(bracket) {
            return self.with(from_str);
        }
        self.text.come_to(self.json, true);
        Err(Error::invalid_type(self.with(unexpected)?, expected))
    }

    /// Reads it with serde_json.
    fn with<T>(self, read: impl FnOnce(&'de str) -> Result<T, Error>) -> Result<T, Error> {
        read(self.json).inspect_err(|error| self.failed(error))
    }

    fn failed(self, error: &Error) {
        let end = self.json.get(..end_of(error, self.json)).unwrap_or(self.json);
        self.text.come_to(end, true);
    }
}

/// What a value is that is neither list nor object where one of them was expected. Not which: see [`describe`].
fn unexpected(json: &str) -> Result<Unexpected<'_>, Error> {
    from_str::<&RawValue>(json)?;
    Ok(match json.as_bytes().first() {
        Some(b'{') => Unexpected::Map,
        Some(b'[') => Unexpected::Seq,
        Some(b'"') => Unexpected::Str(""),
        Some(b'n') => Unexpected::Unit,
        Some(b't' | b'f') => Unexpected::Bool(json == "true"),
        _ => match (json.parse(), json.parse()) {
            (Ok(number), _) => Unexpected::Unsigned(number),
            (_, Ok(number)) => Unexpected::Signed(number),
            _ => Unexpected::Other("a number"),
        },
    })
}

type Member<'de> = (Cow<'de, str>, &'de RawValue);

/// An object's members as they stand.
struct Members<'de>(Vec<Member<'de>>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Listed;
        impl<'de> Visitor<'de> for Listed {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = object.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Listed)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object that is read.
struct Object<'r, 'de> {
    whole: Reader<'r, 'de>,
    members: vec::IntoIter<Member<'de>>,
    value: &'de str,
}

impl<'r, 'de> Object<'r, 'de> {
    fn next_name(&mut self) -> Option<Cow<'de, str>> {
        let Some((name, value)) = self.members.next() else {
            self.whole.text.come_to(self.whole.json, true);
            return None;
        };
        self.value = value.get();
        self.whole.text.come_to(self.value, false);
        Some(name)
    }
}

impl<'de> MapAccess<'de> for Object<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(name) = self.next_name() else { return Ok(None) };
        let name: StrDeserializer<'_, Error> = name.as_ref().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Reader { json: self.value, ..self.whole })
    }
}

/// A list that is read.
struct List<'r, 'de> {
    whole: Reader<'r, 'de>,
    elements: vec::IntoIter<&'de RawValue>,
}

impl<'de> SeqAccess<'de> for List<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        match self.elements.next() {
            Some(element) => seed.deserialize(Reader { json: element.get(), ..self.whole }).map(Some),
            None => Ok(None),
        }
    }
}

/// What is neither list nor object is serde_json's to read.
macro_rules! leaves {
    ($($deserialize:ident)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.with(|json| serde_json::Deserializer::from_str(json).$deserialize(visitor))
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_, 'de> {
    type Error = Error;

    leaves! { deserialize_any deserialize_bool deserialize_u8 deserialize_u64 deserialize_str }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.json == "null" { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    // The text of a value (RawValue) is one to serde_json.
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.with(|json| serde_json::Deserializer::from_str(json).deserialize_newtype_struct(name, visitor))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let elements: Vec<&RawValue> = self.parts('[', &visitor)?;
        visitor.visit_seq(List { whole: self, elements: elements.into_iter() })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Members(members) = self.parts('{', &visitor)?;
        visitor.visit_map(Object { whole: self, members: members.into_iter(), value: "" })
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.with(|json| serde_json::Deserializer::from_str(json).deserialize_enum(name, variants, visitor))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u16 u32 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// serde's message without the values that it quotes: they may be secrets, such as an API key in a URL
/// that stands where a list was expected. The position is left out as well, since nobody sees the text it
/// counts in.
pub(crate) fn describe(error: &Error) -> String {
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

/// Where serde_json was in a text when it gave up. It tells lines and columns only.
fn end_of(error: &Error, json: &str) -> usize {
    let lines = json.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len);
    lines.sum::<usize>().saturating_add(error.column())
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
    fn what_is_read_here_says_the_same_as_serde_json() {
        for json in [
            r#" {"name":"a\u00e4","goods":[{"price":1,"tags":null}, {"price" : 2, "tags":["x"]}]} "#,
            r#"{"name":"a","name":"b","goods":[]}"#,
            r#"{"name":"a","goods":{}}"#,
            r#"{"name":"a","goods":7}"#,
            r#"{"name":"a","goods":-7}"#,
            r#"{"name":"a","goods":null}"#,
            r#"{"name":"a","goods":[true]}"#,
            r#"{"name":"a","goods":[{"price":300}]}"#,
            r#"{"name":"\ud800","goods":[]}"#,
            r#"{"name":"a","goods":[]} x"#,
            r#"{"name":"a","goods":[}"#,
            r#"{"name":"a","goods":[],}"#,
            r#"{"na\u006de":"a","goods":[],"more":1}"#,
            "",
            "nul",
        ] {
            let stock = serde_json::from_str::<Shop>(json).map_err(|error| describe(&error));
            let ours = read::<Shop>(json).map_err(|error| error.detail);
            assert_eq!(alloc::format!("{ours:?}"), alloc::format!("{stock:?}"), "{json}");
        }
        let list = read::<Shop>(r#"["a",[]]"#).unwrap_err();
        assert_eq!(list.detail, "invalid type: sequence, expected struct Shop");
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
            let error = read::<Shop>(json).unwrap_err();
            assert_eq!(error.field, field, "{json}: {}", error.detail);
        }
    }
}
