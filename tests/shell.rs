//! How the shell's files stand to each other: docs/architecture.md says who may import whom.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, reason = "tests may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{read_dir, read_to_string};
use std::path::Path;

/// A module, by the names on the way to it from `src/`.
type Module = Vec<String>;

/// The files under a folder of `src/` by their modules, without comments.
fn files(folder: &Path, module: &Module) -> BTreeMap<Module, String> {
    let mut files = BTreeMap::new();
    for path in read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let inner = if name == "mod" { module.clone() } else { [module.clone(), vec![name.into()]].concat() };
        if path.is_dir() {
            files.extend(self::files(&path, &inner));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = read_to_string(&path).unwrap();
            files.insert(inner, text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n"));
        }
    }
    files
}

fn source(folder: &str) -> BTreeMap<Module, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    files(&root.join(folder), &folder.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// The names of a text and what stands between them.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let end = if is_name(first) {
            rest.find(|c| !is_name(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if !first.is_whitespace() {
            tokens.push(&rest[..end]);
        }
        rest = &rest[end..];
    }
    tokens
}

/// Every path that a tree of paths like `a::{b, c::{d, e}}` stands for. Returns how many tokens it has.
fn expand(tokens: &[&str], prefix: &[&str], paths: &mut Vec<Module>) -> usize {
    let mut path = prefix.to_vec();
    let mut at = 0;
    loop {
        match tokens.get(at..).unwrap_or_default() {
            ["{", ..] => {
                at += 1;
                while tokens[at] != "}" {
                    at += if tokens[at] == "," { 1 } else { expand(&tokens[at..], &path, paths) };
                }
                return at + 1;
            }
            [name, "::", ..] => {
                path.push(name);
                at += 2;
            }
            [name, ..] => {
                path.push(name);
                paths.push(path.into_iter().map(str::to_owned).collect());
                let is_renamed = tokens.get(at + 1) == Some(&"as");
                return at + if is_renamed { 3 } else { 1 };
            }
            [] => return at,
        }
    }
}

/// The modules of `files` that one of them names, by `crate::…` or `super::…`, in a `use` or in place.
fn imports(module: &Module, text: &str, files: &BTreeMap<Module, String>) -> BTreeSet<Module> {
    let tokens = tokens(text);
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let starts = matches!(tokens[at..], ["crate" | "super", "::", ..]) && (at == 0 || !["in", "::"].contains(&tokens[at - 1]));
        at += if starts { expand(&tokens[at..], &[], &mut paths) } else { 1 };
    }
    let mut imports = BTreeSet::new();
    for path in paths {
        let above = path.iter().take_while(|name| *name == "super").count();
        let base = if above == 0 { Vec::new() } else { module[..module.len() - above].to_vec() };
        let full = [base, path[above.max(1)..].to_vec()].concat();
        let file = (0..=full.len()).rev().map(|length| full[..length].to_vec()).find(|module| files.contains_key(module));
        imports.extend(file.filter(|file| file != module));
    }
    imports
}

/// The first circle that is found from a module on, if any.
fn circle<'g>(
    at: &'g Module,
    graph: &'g BTreeMap<Module, BTreeSet<Module>>,
    way: &mut Vec<&'g Module>,
    done: &mut BTreeSet<&'g Module>,
) -> Option<String> {
    if let Some(begin) = way.iter().position(|module| *module == at) {
        way.push(at);
        return Some(way[begin..].iter().map(|module| module.join("::")).collect::<Vec<_>>().join(" -> "));
    }
    if !done.insert(at) {
        return None;
    }
    way.push(at);
    let found = graph[at].iter().find_map(|next| circle(next, graph, way, done));
    way.pop();
    found
}

#[test]
fn no_file_of_the_shell_imports_itself_by_way_of_others() {
    let files = source("worker");
    let graph: BTreeMap<Module, BTreeSet<Module>> =
        files.iter().map(|(module, text)| (module.clone(), imports(module, text, &files))).collect();
    let edges: usize = graph.values().map(BTreeSet::len).sum();
    assert!(files.len() > 40 && edges > 150, "{} files, {edges} imports", files.len());
    let mut done = BTreeSet::new();
    let found = graph.keys().find_map(|module| circle(module, &graph, &mut Vec::new(), &mut done));
    assert_eq!(found, None);
}

/// A method elsewhere would be an import that no `use` shows.
#[test]
fn the_methods_of_a_type_of_the_shell_stand_with_it() {
    let mut methods = 0;
    for (module, text) in source("worker") {
        let tokens = tokens(&text);
        for at in (0..tokens.len()).filter(|at| tokens[*at] == "impl" && (*at == 0 || ["}", ";", "]"].contains(&tokens[*at - 1]))) {
            let head: Vec<&str> = tokens[at + 1..].iter().copied().take_while(|token| *token != "{").collect();
            if head.contains(&"for") || head.contains(&"$") {
                continue;
            }
            // What stands in its first brackets are parameters.
            let parameters = if head[0] == "<" { head.iter().position(|token| *token == ">").unwrap() } else { 0 };
            let named = head[parameters..].iter().find(|token| token.starts_with(char::is_uppercase)).unwrap();
            let stands_here = tokens.windows(2).any(|pair| ["struct", "enum"].contains(&pair[0]) && pair[1] == *named);
            assert!(stands_here, "{}: impl {named}", module.join("::"));
            methods += 1;
        }
    }
    assert!(methods > 25, "{methods}");
}

#[test]
fn the_core_knows_nothing_of_the_shell() {
    let files = source("");
    let core = |module: &&Module| module.first().is_some_and(|first| !["worker", "lib"].contains(&first.as_str()));
    let knowing: Vec<&Module> = files
        .keys()
        .filter(core)
        .filter(|module| imports(module, &files[*module], &files).iter().any(|import| import.starts_with(&["worker".to_owned()])))
        .collect();
    assert!(files.keys().filter(core).count() > 80);
    assert_eq!(knowing, Vec::<&Module>::new());
}
