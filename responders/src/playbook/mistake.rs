//! A mistake in a file, shown: file, line and column, the line itself, and a caret under what is wrong.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::error::Error;

/// Where in a file something is, from the outermost key inwards.
pub(crate) enum Part {
    Key(&'static str),
    /// Of an array, counted from 0.
    Index(usize),
}

/// `span` in bytes of `text`.
pub(crate) fn mistake(file: &str, text: &str, span: Range<usize>, problem: &str) -> Error {
    let start = text.floor_char_boundary(span.start);
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let line = text[line_start..line_end].trim_end_matches('\r');
    let number = line_of(text, start);
    let before = text[line_start..start].chars().count();
    let end = text.floor_char_boundary(span.end.clamp(start, line_end));
    let width = text[start..end].chars().count().max(1);
    let margin = " ".repeat(number.to_string().len());
    // Tabs stay tabs, so that the caret stands below.
    let indent: String = line.chars().take(before).map(|it| if it == '\t' { '\t' } else { ' ' }).collect();
    Error::Wrong(format!(
        "{file}:{number}:{}: {problem}\n{margin} |\n{number} | {line}\n{margin} | {indent}{}",
        before + 1,
        "^".repeat(width)
    ))
}

/// Of a byte of `text`, counted from 1.
pub(crate) fn line_of(text: &str, byte: usize) -> usize {
    text.as_bytes()[..byte.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Where the value at `path` stands, or the innermost part of the path that is there.
pub(crate) fn span_of(text: &str, path: &[Part]) -> Range<usize> {
    let nowhere = 0..0;
    let Ok(table) = DeTable::parse(text) else { return nowhere };
    let mut span = nowhere;
    let mut value = &DeValue::Table(table.into_inner());
    for part in path {
        let inner = match part {
            Part::Key(key) => value.get(*key),
            Part::Index(index) => value.get(*index),
        };
        let Some(inner) = inner else { break };
        span = inner.span();
        value = inner.get_ref();
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_value() {
        let text = "title = \"Größe\"\n\twhen = \"Käse\" # x\n";
        let start = text.find("\"Käse\"").unwrap();
        let Error::Wrong(shown) = mistake("a.toml", text, start..start + "\"Käse\"".len(), "no") else { panic!() };
        assert_eq!(shown, "a.toml:2:9: no\n  |\n2 | \twhen = \"Käse\" # x\n  | \t       ^^^^^^");
    }

    #[test]
    fn ends_of_files_and_lines() {
        let shown = |text: &str, span| mistake("a", text, span, "no").to_string();
        assert_eq!(shown("", 0..0), "a:1:1: no\n  |\n1 | \n  | ^");
        assert_eq!(shown("a\r\nb", 0..4), "a:1:1: no\n  |\n1 | a\n  | ^^");
        assert_eq!(shown("a\n", 2..2), "a:2:1: no\n  |\n2 | \n  | ^");
        assert_eq!(shown("ä", 99..120), "a:1:2: no\n  |\n1 | ä\n  |  ^");
    }

    #[test]
    fn the_innermost_part_that_is_there() {
        let text = "a = 1\n[[step]]\nlevel = \"x\"\n[[step]]\nlevel = \"y\"\n";
        let of = |path: &[Part]| &text[span_of(text, path)];
        assert_eq!(of(&[Part::Key("step"), Part::Index(1), Part::Key("level")]), "\"y\"");
        assert_eq!(of(&[Part::Key("step"), Part::Index(1), Part::Key("ttl")]), "[[step]]");
        assert_eq!(of(&[Part::Key("nothing")]), "");
    }
}
