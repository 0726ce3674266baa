//! DataFusion's errors for people: the problem, the text with a caret under it, and names that were perhaps meant.

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

/// What a query or an expression may name.
pub(crate) struct Names {
    pub(crate) tables: Vec<String>,
    pub(crate) columns: Vec<String>,
}

/// Names offered for one that is unknown.
const OFFERED: usize = 5;

/// `what` is `query` or `expression`.
pub(crate) fn explain(what: &str, error: &DataFusionError, sql: &str, names: &Names) -> String {
    let mut problem = error.diagnostic().map(|found| found.message.clone()).unwrap_or_default();
    let root = error.find_root();
    if problem.is_empty() {
        problem = root.message().into_owned();
    }
    let mut place = error.diagnostic().and_then(|found| found.span).map(|span| (span.start.line, span.start.column));
    let mut hint = String::new();
    if let Some(unknown) = unknown_column(root) {
        problem = format!("column `{unknown}` is unknown");
        place = place.or_else(|| find_word(sql, &unknown));
        hint = match nearest(&unknown, &names.columns) {
            near if near.is_empty() => format!("known columns: {}", names.columns.join(", ")),
            near => format!("did you mean {}?", near.join(", ")),
        };
    } else if let Some(unknown) = unknown_table(&problem) {
        place = place.or_else(|| find_word(sql, &unknown));
        problem = format!("table `{unknown}` is unknown");
        hint = format!("known tables: {}", names.tables.join(", "));
    } else if let Some((before, line, column)) = parser_place(&problem) {
        problem = before;
        place = Some((line, column));
    }
    let mut text = format!("cannot understand the {what}: {}", first_lower(problem.trim()));
    if let Some(excerpt) = place.and_then(|(line, column)| caret(sql, line, column)) {
        text.push('\n');
        text.push_str(&excerpt);
    } else {
        text.push_str(&format!("\n  | {}", sql.trim()));
    }
    if !hint.is_empty() {
        text.push('\n');
        text.push_str(&hint);
    }
    text
}

fn unknown_column(root: &DataFusionError) -> Option<String> {
    match root {
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, .. } => Some(field.name.clone()),
            _ => None,
        },
        DataFusionError::Diagnostic(_, inner) => unknown_column(inner.find_root()),
        _ => None,
    }
}

/// `table 'datafusion.public.x' not found`
fn unknown_table(problem: &str) -> Option<String> {
    let (before, _) = problem.split_once("' not found")?;
    let (start, name) = before.rsplit_once('\'')?;
    start.to_ascii_lowercase().ends_with("table ").then(|| name.rsplit('.').next().unwrap_or(name).to_owned())
}

/// The parser writes its place into the message: `... at Line: 1, Column: 8`.
fn parser_place(problem: &str) -> Option<(String, u64, u64)> {
    let (before, place) = problem.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some((before.to_owned(), line.parse().ok()?, digits.parse().ok()?))
}

/// Line and column (from 1) of the first whole word equal to `word`.
pub(crate) fn find_word(sql: &str, word: &str) -> Option<(u64, u64)> {
    let in_word = |character: char| character.is_alphanumeric() || character == '_';
    for (number, line) in sql.lines().enumerate() {
        for (at, _) in line.match_indices(word) {
            let before = line[..at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            if !before.is_some_and(in_word) && !after.is_some_and(in_word) {
                return Some((number as u64 + 1, line[..at].chars().count() as u64 + 1));
            }
        }
    }
    None
}

/// The line, and a caret under the column; both counted from 1.
fn caret(sql: &str, line: u64, column: u64) -> Option<String> {
    let text = sql.lines().nth(usize::try_from(line.checked_sub(1)?).ok()?)?;
    let column = usize::try_from(column.checked_sub(1)?).ok()?.min(text.chars().count());
    Some(format!("  | {text}\n  | {}^", " ".repeat(column)))
}

/// Names like `wrong`, nearest first: at most a third of its letters differ, or one (of three letters or more) is in the other.
pub(crate) fn nearest(wrong: &str, names: &[String]) -> Vec<String> {
    let wrong = wrong.to_lowercase();
    let mut near: Vec<(usize, &String)> = Vec::new();
    for name in names {
        let distance = edits(&wrong, name);
        let contained = wrong.len().min(name.len()) > 2 && (name.contains(&wrong) || wrong.contains(name.as_str()));
        if distance <= wrong.chars().count().div_ceil(3) || contained {
            near.push((distance, name));
        }
    }
    near.sort();
    near.into_iter().take(OFFERED).map(|(_, name)| format!("`{name}`")).collect()
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn first_lower(text: &str) -> String {
    let mut characters = text.chars();
    match (characters.next(), characters.as_str().chars().next()) {
        // `SQL` stays as it is.
        (Some(first), Some(second)) if !second.is_uppercase() => first.to_lowercase().chain(characters).collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_stands_under_the_column() {
        assert_eq!(caret("select\n  x from y", 2, 3).unwrap(), "  |   x from y\n  |   ^");
        assert_eq!(caret("ü > 1", 1, 5).unwrap(), "  | ü > 1\n  |     ^");
        assert_eq!(caret("x", 9, 1), None);
        assert_eq!(find_word("select a_x, x", "x"), Some((1, 13)));
    }

    #[test]
    fn near_names_come_nearest_first() {
        let names: Vec<String> = ["bytes_in", "bytes_out", "device_bytes", "flows"].map(String::from).to_vec();
        assert_eq!(nearest("byte_out", &names), ["`bytes_out`"]);
        assert_eq!(nearest("bytes", &names), ["`bytes_in`", "`bytes_out`", "`device_bytes`"]);
        assert!(nearest("zzz", &names).is_empty());
        assert_eq!(edits("kitten", "sitting"), 3);
    }
}
