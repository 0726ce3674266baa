//! Zeek's conn.log in columns: TSV with Zeek's `#` headers, or CSV with lines of names.
//!
//! IoT-23 publishes its TSV with the last three columns (`tunnel_parents`, `label`, `detailed-label`) joined by three
//! spaces, in the header as in every row. A header whose last name holds three spaces announces just that.

use std::borrow::Cow;

use fleet::{Position, Reading};

use crate::decode::record::Record;
use crate::decode::reject::RejectReason;
use crate::decode::value::Scalar;
use crate::decode::without_mark;

const JOINT: &str = "   ";
/// Between the headers that a decoder hands on.
const NEXT: &str = "\n#";

/// State carried from line to line: what the headers said.
#[derive(Debug)]
pub(in crate::decode) struct Delimited {
    /// CSV: cells may be quoted, and lines of names say which columns follow.
    quoted: bool,
    separator: char,
    unset: String,
    empty: String,
    header: Option<Header>,
}

#[derive(Debug)]
struct Header {
    /// The line itself, to be handed on.
    line: String,
    /// For each column, its place in the record, where we want it.
    slots: Vec<Option<usize>>,
    /// The last columns are joined by three spaces.
    joined: bool,
    missing: Option<&'static str>,
}

impl Delimited {
    pub fn tsv() -> Delimited {
        Delimited { quoted: false, separator: '\t', unset: "-".into(), empty: "(empty)".into(), header: None }
    }

    pub fn csv() -> Delimited {
        Delimited { quoted: true, separator: ',', ..Delimited::tsv() }
    }

    /// As Zeek writes them: `#separator` and those of the others that say anything new.
    pub fn header(&self) -> Option<String> {
        let new = if self.quoted { Delimited::csv() } else { Delimited::tsv() };
        let mut headers = Vec::new();
        if self.separator != new.separator {
            headers.push(match u8::try_from(self.separator) {
                Ok(byte) if byte.is_ascii() => format!("separator \\x{byte:02x}"),
                _ => format!("separator {}", self.separator),
            });
        }
        let mut add = |name: &str, value: &str| headers.push(format!("{name}{}{value}", self.separator));
        if self.unset != new.unset {
            add("unset_field", &self.unset);
        }
        if self.empty != new.empty {
            add("empty_field", &self.empty);
        }
        if let Some(header) = &self.header {
            add("fields", &header.line);
        }
        (!headers.is_empty()).then(|| format!("#{}", headers.join(NEXT)))
    }

    pub fn resume(&mut self, headers: &str) {
        let headers = headers.strip_prefix('#').unwrap_or_default();
        headers.split(NEXT).for_each(|header| self.directive(header));
    }

    pub fn decode(&mut self, line: &str, position: Position) -> Result<Option<Reading>, RejectReason> {
        if let Some(directive) = without_mark(line).strip_prefix('#') {
            self.directive(directive);
            return Ok(None);
        }
        let row = self.row(line, position);
        // Names are no row under any header: rows that are fine need not be looked at for them.
        if self.quoted
            && row.is_err()
            && let Some(header) = self.names_in(without_mark(line))
        {
            self.header = Some(header);
            return Ok(None);
        }
        row.map(Some)
    }

    fn row(&self, line: &str, position: Position) -> Result<Reading, RejectReason> {
        let Some(header) = &self.header else {
            let expected = if self.quoted {
                "a line of Zeek's names, such as `ts,uid,id.orig_h`"
            } else {
                "`#fields` and the names, as Zeek writes them"
            };
            return Err(RejectReason::NoHeader { expected });
        };
        if let Some(column) = header.missing {
            return Err(RejectReason::MissingColumn { column });
        }
        let mut conn = Record::empty(&super::CONN_NAMES);
        let mut found = 0;
        self.cells(line, header.joined, |text| {
            if let Some(Some(slot)) = header.slots.get(found)
                && text != self.unset
                && text != self.empty
            {
                *conn.slot(*slot) = Scalar::Text(text);
            }
            found += 1;
        });
        if found != header.slots.len() {
            return Err(RejectReason::ColumnCount { found, expected: header.slots.len() });
        }
        super::reading(&conn, position)
    }

    /// A line that began with `#`. Those that say nothing of the columns (`path`, `types`, `open`) are passed over.
    fn directive(&mut self, text: &str) {
        if let Some(written) = text.strip_prefix("separator ") {
            self.separator = separator(written).unwrap_or(self.separator);
            return;
        }
        let Some((name, rest)) = text.split_once(self.separator) else {
            return;
        };
        match name {
            "fields" => self.header = Some(self.header_of(rest)),
            "unset_field" => self.unset = rest.to_string(),
            "empty_field" => self.empty = rest.to_string(),
            _ => {}
        }
    }

    /// The header of CSV that the line is, if it is one: it names at least half of the columns that have to be there. A row
    /// that is spoilt does not, and must not take the place of the header.
    fn names_in(&self, line: &str) -> Option<Header> {
        let header = self.header_of(line);
        let required = super::REQUIRED_COLUMNS.iter();
        let named = required.filter(|field| header.slots.contains(&Some(**field as usize))).count();
        (2 * named >= super::REQUIRED_COLUMNS.len()).then_some(header)
    }

    fn header_of(&self, line: &str) -> Header {
        let joined = !self.quoted && line.rsplit(self.separator).next().is_some_and(|last| last.contains(JOINT));
        let mut slots = Vec::new();
        self.cells(line, joined, |name| slots.push((super::CONN_NAMES.find)(name.trim())));
        let missing =
            super::REQUIRED_COLUMNS.iter().map(|field| *field as usize).find(|slot| !slots.contains(&Some(*slot)));
        Header { line: line.to_string(), slots, joined, missing: missing.map(|slot| super::CONN_NAMES.names[slot]) }
    }

    fn cells<'a>(&self, line: &'a str, joined: bool, mut each: impl FnMut(Cow<'a, str>)) {
        if self.quoted && line.contains('"') {
            return quoted_cells(line, self.separator, each);
        }
        let (head, tail) = match line.rsplit_once(self.separator) {
            Some((head, tail)) if joined => (head, Some(tail)),
            _ => (line, None),
        };
        for cell in head.split(self.separator) {
            each(Cow::Borrowed(cell));
        }
        if let Some(tail) = tail {
            for cell in tail.split(JOINT) {
                each(Cow::Borrowed(cell));
            }
        }
    }
}

/// `\x09`, as Zeek writes it, or the character itself.
fn separator(written: &str) -> Option<char> {
    let Some(digits) = written.strip_prefix("\\x") else {
        return written.chars().next();
    };
    u8::from_str_radix(digits, 16).ok().filter(u8::is_ascii).map(char::from)
}

/// RFC 4180 cells within one line: quotes may hold the separator, a doubled quote stands for one.
fn quoted_cells<'a>(line: &'a str, separator: char, mut each: impl FnMut(Cow<'a, str>)) {
    let mut rest = line;
    loop {
        let Some(opened) = rest.strip_prefix('"') else {
            match rest.split_once(separator) {
                Some((cell, after)) => {
                    each(Cow::Borrowed(cell));
                    rest = after;
                    continue;
                }
                None => return each(Cow::Borrowed(rest)),
            }
        };
        let mut cell = String::new();
        let mut inside = opened;
        // A quote that never closes takes the rest of the line: the column count will not match.
        while let Some((before, after)) = inside.split_once('"') {
            cell.push_str(before);
            inside = after;
            match after.strip_prefix('"') {
                Some(doubled) => {
                    cell.push('"');
                    inside = doubled;
                }
                None => break,
            }
        }
        each(Cow::Owned(cell));
        match inside.split_once(separator) {
            Some((_, after)) => rest = after,
            None => return,
        }
    }
}
