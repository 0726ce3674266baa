//! As much of YAML as the files of the compose set-up use, read to JSON values; anything else is refused by line. Scalars are
//! texts, whatever they look like.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::{read, shown};

pub fn load(path: &Path) -> Value {
    let text = read(path);
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let body = without_comment(line).trim_end();
        if !body.trim_start().is_empty() {
            let indent = body.len() - body.trim_start_matches(' ').len();
            lines.push(Line { number, indent, text: body.trim_start_matches(' ').to_owned() });
        }
    }
    let mut reader = Reader { file: shown(path), lines, at: 0, anchors: BTreeMap::new() };
    let value = reader.block(0);
    assert!(reader.at == reader.lines.len(), "{}: not all of it is one value", reader.place());
    value
}

struct Line {
    number: usize,
    indent: usize,
    text: String,
}

struct Reader {
    file: String,
    lines: Vec<Line>,
    at: usize,
    anchors: BTreeMap<String, Value>,
}

/// `#` begins a comment at the beginning of a line or after a space, outside quotes.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, letter) in line.char_indices() {
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), close) if open == close && before != '\\' => quote = None,
            (None, '#') if before == ' ' => return &line[..at],
            _ => {}
        }
        before = letter;
    }
    line
}

impl Reader {
    fn place(&self) -> String {
        format!("{}:{}", self.file, self.lines.get(self.at).map_or(0, |line| line.number))
    }

    fn line(&self, indent: usize) -> Option<&Line> {
        let line = self.lines.get(self.at)?;
        assert!(line.indent <= indent, "{}: indented without reason", self.place());
        (line.indent == indent).then_some(line)
    }

    /// A mapping or a list that begins at `indent`.
    fn block(&mut self, indent: usize) -> Value {
        if self.line(indent).is_some_and(|line| line.text.starts_with("- ")) {
            self.list(indent)
        } else {
            self.mapping(indent)
        }
    }

    fn list(&mut self, indent: usize) -> Value {
        let mut items = Vec::new();
        while let Some(line) = self.line(indent).filter(|line| line.text.starts_with("- ")) {
            let rest = line.text[2..].to_owned();
            if is_entry(&rest) {
                // A mapping whose first entry stands behind the dash.
                self.lines[self.at].indent = indent + 2;
                self.lines[self.at].text = rest;
                items.push(self.mapping(indent + 2));
            } else {
                self.at += 1;
                items.push(self.flow(&rest));
            }
        }
        Value::Array(items)
    }

    fn mapping(&mut self, indent: usize) -> Value {
        let (mut own, mut merged) = (Map::new(), Map::new());
        while let Some(line) = self.line(indent) {
            let text = line.text.clone();
            assert!(is_entry(&text), "{}: `{text}`, expected `key: value`", self.place());
            let (key, rest) = text.split_once(':').expect("an entry has a colon");
            let (key, mut rest) = (key.trim_matches('"').to_owned(), rest.trim());
            let mut anchor = None;
            if let Some(after) = rest.strip_prefix('&') {
                let (name, value) = after.split_once(' ').unwrap_or((after, ""));
                (anchor, rest) = (Some(name.to_owned()), value.trim());
            }
            let place = self.place();
            self.at += 1;
            let value = match rest {
                "" => self.nested(indent),
                rest => self.flow(rest),
            };
            if let Some(name) = anchor {
                self.anchors.insert(name, value.clone());
            }
            match (key.as_str(), value) {
                ("<<", Value::Object(more)) => merged.extend(more),
                ("<<", _) => panic!("{place}: only a mapping can be merged"),
                (_, value) => assert!(own.insert(key, value).is_none(), "{place}: there twice"),
            }
        }
        for (key, value) in merged {
            own.entry(key).or_insert(value);
        }
        Value::Object(own)
    }

    /// What stands below a key; lists may stand as far left as it.
    fn nested(&mut self, indent: usize) -> Value {
        match self.lines.get(self.at) {
            Some(line) if line.indent > indent => self.block(line.indent),
            Some(line) if line.indent == indent && line.text.starts_with("- ") => self.list(indent),
            _ => Value::Null,
        }
    }

    /// A value on one line.
    fn flow(&self, text: &str) -> Value {
        let mut rest = text;
        let value = self.flow_value(&mut rest, false);
        assert!(rest.trim().is_empty(), "{}: `{rest}` is left of `{text}`", self.place());
        value
    }

    fn flow_value(&self, rest: &mut &str, inside: bool) -> Value {
        *rest = rest.trim_start();
        match rest.chars().next() {
            Some('[') => {
                let mut items = Vec::new();
                *rest = &rest[1..];
                while !self.closed(rest, ']') {
                    items.push(self.flow_value(rest, true));
                }
                Value::Array(items)
            }
            Some('{') => {
                let mut entries = Map::new();
                *rest = &rest[1..];
                while !self.closed(rest, '}') {
                    let (key, after) = rest.split_once(':').unwrap_or_else(|| panic!("{}: `{rest}`", self.place()));
                    *rest = after;
                    entries.insert(key.trim().to_owned(), self.flow_value(rest, true));
                }
                Value::Object(entries)
            }
            Some(quote @ ('"' | '\'')) => Value::String(self.quoted(rest, quote)),
            Some('*') => {
                let name = self.plain(rest, inside)[1..].to_owned();
                self.anchors.get(&name).unwrap_or_else(|| panic!("{}: `*{name}` is not known", self.place())).clone()
            }
            Some(letter) if "|>!%@`?&".contains(letter) => panic!("{}: `{rest}` is not read here", self.place()),
            _ => Value::String(self.plain(rest, inside)),
        }
    }

    /// Past a comma; whether the closing bracket was there.
    fn closed(&self, rest: &mut &str, close: char) -> bool {
        *rest = rest.trim_start();
        *rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        assert!(!rest.is_empty(), "{}: `{close}` is missing", self.place());
        let is_closed = rest.starts_with(close);
        *rest = rest.strip_prefix(close).unwrap_or(rest);
        is_closed
    }

    fn plain(&self, rest: &mut &str, inside: bool) -> String {
        // In brackets a comma or bracket ends it, but not that of `${NAME}`.
        let mut braces = 0;
        let end = rest.char_indices().find(|(at, letter)| {
            match letter {
                '{' if rest[..*at].ends_with('$') => braces += 1,
                '}' if braces > 0 => braces -= 1,
                _ => return inside && ",]}".contains(*letter),
            }
            false
        });
        let (text, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        *rest = after;
        let text = text.trim();
        assert!(!text.contains(": "), "{}: `{text}` needs quotes", self.place());
        text.to_owned()
    }

    fn quoted(&self, rest: &mut &str, quote: char) -> String {
        let mut letters = rest[1..].char_indices();
        let mut out = String::new();
        while let Some((at, letter)) = letters.next() {
            match letter {
                letter if letter == quote => {
                    *rest = &rest[at + 2..];
                    return out;
                }
                '\\' if quote == '"' => match letters.next() {
                    Some((_, 'n')) => out.push('\n'),
                    Some((_, 'r')) => out.push('\r'),
                    Some((_, same @ ('\\' | '"'))) => out.push(same),
                    other => panic!("{}: `\\{other:?}` is not read here", self.place()),
                },
                letter => out.push(letter),
            }
        }
        panic!("{}: `{rest}` has no end", self.place())
    }
}

fn is_entry(text: &str) -> bool {
    if text.starts_with(['[', '{', '\'']) || text.starts_with('"') {
        return false;
    }
    text.ends_with(':') || text.contains(": ")
}

#[test]
fn what_the_files_use_is_read_and_more_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.yaml");
    let read = |text: &str| {
        std::fs::write(&path, text).expect("the file is written");
        load(&path)
    };
    let text = "x: &x\n  a: [1, \"b, c\", ${D:?e}]  # why\ny:\n  <<: *x\n  a: { k: [{ l: v }] }\nz:\n  - - no\n";
    assert!(std::panic::catch_unwind(|| read(&text.replace("- - no", "- |"))).is_err());
    let value = read(&text.replace("- - no", "- n: 1\n    m: \"q\\\"#\"\n  - p"));
    let expected = serde_json::json!({
        "x": { "a": ["1", "b, c", "${D:?e}"] },
        "y": { "a": { "k": [{ "l": "v" }] } },
        "z": [{ "n": "1", "m": "q\"#" }, "p"],
    });
    assert_eq!(value, expected);
    assert!(std::panic::catch_unwind(|| read("a: 1\na: 2\n")).is_err());
}
