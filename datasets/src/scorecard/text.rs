//! Plain text for a terminal: aligned columns, wrapped paragraphs, times and durations as people say them.

use fleet::EventTime;

/// Nothing printed is wider, in characters.
pub const WIDTH: usize = 110;
const GAP: &str = "  ";
/// More names than this are not read.
const NAMED: usize = 12;

/// Rows of cells, aligned; numbers go to the right.
pub struct Table {
    headings: Vec<&'static str>,
    to_the_right: Vec<bool>,
    whole: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A heading that begins with `>` is a column of numbers, one with `!` of ids or times: neither is cut.
    pub fn new(headings: &[&'static str]) -> Table {
        Table {
            headings: headings.iter().map(|heading| heading.trim_start_matches(['>', '!'])).collect(),
            to_the_right: headings.iter().map(|heading| heading.starts_with('>')).collect(),
            whole: headings.iter().map(|heading| heading.starts_with(['>', '!'])).collect(),
            rows: Vec::new(),
        }
    }

    /// Cells beyond the headings are dropped, missing ones are empty; line breaks become spaces.
    pub fn row<Cell: Into<String>>(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let mut row: Vec<String> = cells.into_iter().map(|cell| cell.into().replace(['\n', '\r'], " ")).collect();
        row.resize(self.headings.len(), String::new());
        self.rows.push(row);
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Each line ends with a line feed. When the whole is wider than [`WIDTH`], the widest columns that may be are cut.
    pub fn render(&self) -> String {
        let widths = self.widths();
        let headings: Vec<String> = self.headings.iter().map(|heading| heading.to_string()).collect();
        let mut out = String::new();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let cells = row.iter().zip(&widths).zip(&self.to_the_right);
            let cells = cells.map(|((cell, width), to_the_right)| {
                let cell = cut(cell, *width);
                if *to_the_right { format!("{cell:>width$}") } else { format!("{cell:width$}") }
            });
            out += cells.collect::<Vec<_>>().join(GAP).trim_end();
            out.push('\n');
        }
        out
    }

    fn widths(&self) -> Vec<usize> {
        let wanted = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(self.headings[column].chars().count())
        };
        let mut widths: Vec<usize> = (0..self.headings.len()).map(wanted).collect();
        let room = WIDTH.saturating_sub(GAP.len() * widths.len().saturating_sub(1));
        while widths.iter().sum::<usize>() > room {
            let may_be_cut = widths.iter_mut().zip(&self.whole).filter(|(_, whole)| !**whole).map(|(width, _)| width);
            match may_be_cut.max() {
                Some(width) if *width > 1 => *width -= 1,
                _ => break,
            }
        }
        widths
    }
}

/// At most `width` characters; what is cut ends in `…`.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_string();
    }
    let mut kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

/// Breaks at spaces, each line behind `indent`; words that do not fit a line are left whole. Ends with a line feed.
pub fn wrap(text: &str, indent: &str) -> String {
    let room = WIDTH.saturating_sub(indent.chars().count());
    let mut out = String::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
                out += &format!("{indent}{line}\n");
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += word;
        }
        out += format!("{indent}{line}").trim_end();
        out.push('\n');
    }
    out
}

/// `4:05`, `1:02:03`; a minus sign when negative. Rounded to the second.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.abs().round() as u64;
    let sign = if seconds < 0.0 && whole > 0 { "-" } else { "" };
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{sign}{hours}:{minutes:02}:{seconds:02}") } else { format!("{sign}{minutes}:{seconds:02}") }
}

/// `2026-03-06 04:00:10`, UTC, cut to the second.
pub fn moment(time: EventTime) -> String {
    time.to_string().replace('T', " ").chars().take(19).collect()
}

/// `2026-03-06 04:00`, UTC, cut to the minute.
pub fn minute(time: EventTime) -> String {
    time.to_string().replace('T', " ").chars().take(16).collect()
}

/// `1 finding`, `2 findings`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Names in a sentence. At most [`NAMED`] of them by name; how many more is said.
pub fn listed_briefly<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match names.len().saturating_sub(NAMED) {
        0 => listed(names),
        more => format!("{} and {}", names[..NAMED].join(", "), counted(more as u64, "other")),
    }
}

/// Plain names in a sentence: `a, b and c`.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match &names[..] {
        [] => String::new(),
        [name] => name.to_string(),
        [names @ .., last] => format!("{} and {last}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut_and_counted() {
        let names: Vec<String> = (1..=15).map(|number| format!("d{number}")).collect();
        let brief = |count: usize| listed_briefly(names[..count].iter().map(String::as_str));
        assert_eq!(brief(3), "d1, d2 and d3");
        assert!(brief(12).ends_with("d11 and d12"));
        assert!(brief(15).ends_with("d11, d12 and 3 others"));
    }
}
