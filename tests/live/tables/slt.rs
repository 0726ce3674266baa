//! Questions with their answers, in the format of sqllogictest as far as it is needed here: a comment, `query TYPES SORT`, SQL,
//! `----`, rows. Types are T text, I integer, R real (three decimals), P time; SORT is `nosort` or `rowsort`.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

pub struct Question {
    file: PathBuf,
    line: usize,
    types: String,
    sorted: bool,
    sql: String,
    answer: Vec<String>,
}

/// A row's cells in the order of its columns.
pub struct Row(Vec<Value>);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Row, D::Error> {
        struct Cells;
        impl<'de> Visitor<'de> for Cells {
            type Value = Row;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Row, M::Error> {
                let mut cells = Vec::new();
                while let Some((_, value)) = map.next_entry::<String, Value>()? {
                    cells.push(value);
                }
                Ok(Row(cells))
            }
        }
        input.deserialize_map(Cells)
    }
}

/// All files of a folder.
pub fn questions(folder: &Path) -> Vec<Question> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files.iter().flat_map(|file| parsed(file)).collect()
}

fn parsed(file: &Path) -> Vec<Question> {
    let text = std::fs::read_to_string(file).expect("a file of questions is text");
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#'));
    let mut questions = Vec::new();
    while let Some((line, head)) = lines.find(|(_, line)| !line.is_empty()) {
        let words: Vec<&str> = head.split(' ').collect();
        let ["query", types, sort @ ("nosort" | "rowsort")] = words[..] else {
            panic!("{}:{line}: `{head}`, expected `query TYPES nosort` or `rowsort`", file.display());
        };
        let sql =
            lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "----").collect::<Vec<_>>().join("\n");
        let answer = lines.by_ref().map(|(_, line)| line.to_owned()).take_while(|line| !line.is_empty()).collect();
        let (types, sorted) = (types.to_owned(), sort == "rowsort");
        questions.push(Question { file: file.to_owned(), line, types, sorted, sql, answer });
    }
    questions
}

/// What is answered otherwise than the files say.
pub fn differences(questions: &[Question], ask: impl Fn(&str) -> Result<Vec<Row>, String>) -> Vec<String> {
    questions.iter().filter_map(|question| question.difference(ask(&question.sql))).collect()
}

impl Question {
    fn difference(&self, answer: Result<Vec<Row>, String>) -> Option<String> {
        let place = format!("{}:{}", self.file.display(), self.line);
        let rows = match answer {
            Ok(rows) => rows,
            Err(problem) => return Some(format!("{place}: {problem}")),
        };
        if let Some(row) = rows.iter().find(|row| row.0.len() != self.types.len()) {
            return Some(format!("{place}: {} columns, expected those of `{}`", row.0.len(), self.types));
        }
        let mut found: Vec<String> = rows.iter().map(|row| self.written(row)).collect();
        if self.sorted {
            found.sort();
        }
        (found != self.answer)
            .then(|| format!("{place}: expected\n  {}\nfound\n  {}", self.answer.join("\n  "), found.join("\n  ")))
    }

    fn written(&self, row: &Row) -> String {
        let cells = self.types.chars().zip(&row.0).map(|(kind, cell)| match (kind, cell) {
            (_, Value::Null) => "NULL".to_owned(),
            ('R', cell) => cell.as_f64().map_or_else(|| cell.to_string(), |number| format!("{number:.3}")),
            ('P', Value::String(text)) => time(text),
            (_, Value::String(text)) if text.is_empty() => "(empty)".to_owned(),
            (_, Value::String(text)) => text.clone(),
            (_, cell) => cell.to_string(),
        });
        cells.collect::<Vec<_>>().join(" ")
    }
}

/// `2026-03-05T00:07:00Z` and `2026-03-05 00:07:00.000000` are one instant.
pub fn time(text: &str) -> String {
    let text = text.replace('T', " ");
    let text = text.trim_end_matches('Z');
    match text.split_once('.') {
        Some((whole, part)) if part.bytes().all(|digit| digit == b'0') => whole.to_owned(),
        Some((whole, part)) => format!("{whole}.{}", part.trim_end_matches('0')),
        None => text.to_owned(),
    }
}
