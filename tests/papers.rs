//! The papers say what the code says: links lead somewhere, tests that are cited exist, every rule, field and problem has its line, and the
//! examples of configurations are right.
#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests may panic"
)]

use mpp_edge::gateway::{Secrets, validate};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::path::{Path, PathBuf};

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The papers, each by its path in the project.
fn papers() -> Vec<String> {
    let docs = at("docs").read_dir().unwrap().map(|entry| format!("docs/{}", entry.unwrap().file_name().to_str().unwrap()));
    docs.filter(|name| name.ends_with(".md")).chain(["README.md".into(), "benches/README.md".into()]).collect()
}

/// What stands between pairs of `quote` in a text.
fn quoted<'t>(text: &'t str, quote: &'t str) -> impl Iterator<Item = &'t str> {
    text.split(quote).skip(1).step_by(2)
}

/// A text without its blocks of code.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// The anchors that a page's headings have on GitHub.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim().to_lowercase());
    headings
        .map(|heading| heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-"))
        .collect()
}

#[test]
fn the_readme_fits_on_a_page_and_a_half() {
    assert!(read("README.md").lines().count() <= 150);
}

#[test]
fn every_link_leads_somewhere() {
    let mut links = 0;
    for paper in papers() {
        let text = read(&paper);
        for link in prose(&text).split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.starts_with("http") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { at(&paper) } else { at(&paper).parent().unwrap().join(file) };
            assert!(target.exists(), "{paper}: {link} is not there");
            if !anchor.is_empty() {
                assert!(anchors(&read_to_string(&target).unwrap()).contains(anchor), "{paper}: {link} has no such heading");
            }
            links += 1;
        }
    }
    assert!(links > 50, "{links}");
}

#[test]
fn every_test_that_the_threats_cite_exists() {
    let folders: Vec<_> = at("tests/e2e").read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let mut cited = 0;
    for row in read("docs/threats.md").lines().filter(|line| line.starts_with("| ") && line.matches('|').count() == 5) {
        let last = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for name in last.split([',', ' ', '(', ')', '`']).filter(|word| word.contains('/')) {
            let in_e2e = folders.iter().any(|folder| name.starts_with(&format!("{folder}/")));
            let path = if in_e2e { format!("tests/e2e/{name}.test.mjs") } else { name.to_owned() };
            assert!(at(&path).exists(), "{name} in: {row}");
            cited += 1;
        }
    }
    assert!(cited > 50, "{cited}");
}

#[test]
fn every_rule_of_a_configuration_has_its_line() {
    let source = read("src/gateway/validate/mod.rs");
    let (_, body) = source.split_once("enum Rule {").unwrap();
    let in_code: BTreeSet<u16> =
        body.split('}').next().unwrap().split(',').filter_map(|rule| rule.split_once(" = ")?.1.trim().parse().ok()).collect();
    let page = read("docs/configuration.md");
    let (_, table) = page.split_once("\n## Rules\n").unwrap();
    let on_page: BTreeSet<u16> = table.lines().filter_map(|line| line.split('|').nth(1)?.trim().parse().ok()).collect();
    assert!(in_code.len() >= 25, "{in_code:?}");
    assert_eq!(in_code, on_page);
}

#[test]
fn every_field_of_a_configuration_has_its_line() {
    let source = read("src/gateway/config.rs");
    let page = read("docs/configuration.md");
    let told: BTreeSet<&str> = quoted(&page, "`").flat_map(|code| code.split(['.', ' ', '=', '[', ']'])).collect();
    let mut fields = 0;
    for structure in source.split("struct Raw").skip(1) {
        let body = structure.split("\n}").next().unwrap();
        for line in body.lines().skip(1).map(|line| line.trim().trim_start_matches("pub(in crate::gateway) ")) {
            let Some((name, _)) = line.split_once(": ").filter(|(name, _)| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
            else {
                continue;
            };
            let mut parts = name.split('_');
            let camel = parts.next().unwrap().to_owned() + &parts.map(|part| part[..1].to_uppercase() + &part[1..]).collect::<String>();
            assert!(told.contains(camel.as_str()), "{camel} is not explained");
            fields += 1;
        }
    }
    assert!(fields > 40, "{fields}");
}

#[test]
fn every_type_of_a_problem_has_its_line() {
    let source = read("src/wire/problem.rs");
    let (_, body) = source.split_once("const fn slug(").unwrap();
    let page = read("docs/wire.md");
    let slugs: Vec<&str> = quoted(body.split("\n    }\n").next().unwrap(), "\"").collect();
    assert!(slugs.len() >= 15, "{slugs:?}");
    for slug in slugs {
        assert!(page.contains(&format!("| `{slug}` |")), "{slug} is not explained");
    }
}

/// The `gateway` variable of an example, in the little TOML that examples are made of.
fn gateway(toml: &str) -> Value {
    fn table<'r>(root: &'r mut Map<String, Value>, path: &str, list: bool) -> &'r mut Map<String, Value> {
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        let is_list = list && rest.is_empty();
        let entry = root.entry(first).or_insert_with(|| if is_list { Value::Array(Vec::new()) } else { Value::Object(Map::new()) });
        let inner = match entry {
            Value::Array(items) => {
                if is_list {
                    items.push(Value::Object(Map::new()));
                }
                items.last_mut().unwrap()
            }
            object => object,
        };
        let inner = inner.as_object_mut().unwrap();
        if rest.is_empty() { inner } else { table(inner, rest, list) }
    }
    let mut root = Map::new();
    let mut path = String::new();
    for line in toml.lines().map(|line| line.split(" #").next().unwrap().trim()).filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix("[[").and_then(|line| line.strip_suffix("]]")) {
            path = name.to_owned();
            table(&mut root, name, true);
        } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            path = name.to_owned();
            table(&mut root, name, false);
        } else {
            let (name, value) = line.split_once(" = ").unwrap_or_else(|| panic!("{line}"));
            // An inline table has `=` where JSON has `:`; the rest of what is used is JSON.
            let json =
                if value.starts_with('{') { value.replace("{ ", "{\"").replace(", ", ", \"").replace(" = ", "\": ") } else { value.into() };
            let value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{line}: {error}"));
            table(&mut root, &path, false).insert(name.to_owned(), value);
        }
    }
    root["vars"]["gateway"].clone()
}

#[test]
fn every_example_of_a_configuration_is_right() {
    // The account of this key, which anybody knows, is who is paid where sessions are sold.
    let recipient = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    let secrets = Secrets {
        secret_key: Some("m".repeat(32)),
        settlement_private_key: Some("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80".into()),
        of_rails: [("LND_MACAROON".to_owned(), "0201".repeat(20))].into(),
        ..Secrets::default()
    };
    let mut examples = 0;
    for paper in papers() {
        let text = read(&paper);
        for example in text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
            let json = gateway(&example.replace("\"0x…\"", &format!("\"{recipient}\""))).to_string();
            if let Err(broken) = validate(Some(&json), &secrets, |_| true) {
                panic!("{paper}: {example}\n{:?}", broken.errors);
            }
            examples += 1;
        }
    }
    assert!(examples >= 4, "{examples}");
}
