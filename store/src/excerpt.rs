//! Some rows of a table as text, for whoever keeps them elsewhere: all columns, the table's order, the same from both homes.

use std::ops::Range;

use fleet::EventTime;
use smol_str::SmolStr;

use crate::dictionary::Table;
use crate::error::Error;
use crate::parquet::ParquetStore;
use crate::query::Format;

/// Which rows.
#[derive(Clone, Debug)]
pub enum Which<'w> {
    All,
    /// This column has one of these values.
    OneOf {
        column: &'static str,
        values: &'w [SmolStr],
    },
    /// Of these devices, in windows that touch the range.
    Windows {
        devices: &'w [SmolStr],
        range: Range<EventTime>,
    },
    /// Of this version of the baselines, for this type and for all types.
    Version {
        version: u32,
        device_type: &'w str,
    },
}

/// How a home writes what is compared.
pub(crate) struct Dialect {
    pub quoted: fn(&str) -> String,
    /// A column of times as something that a number of microseconds is compared with, and that number.
    pub column: fn(&str) -> String,
    pub time: fn(EventTime) -> String,
}

impl Which<'_> {
    /// What follows `where`; `None`: it holds for every row.
    pub(crate) fn condition(&self, dialect: &Dialect) -> Option<String> {
        let one_of = |column: &str, values: &[SmolStr]| match values {
            [] => "1 = 0".to_owned(),
            values => {
                let values: Vec<String> = values.iter().map(|value| (dialect.quoted)(value)).collect();
                format!("{column} in ({})", values.join(", "))
            }
        };
        match self {
            Which::All => None,
            Which::OneOf { column, values } => Some(one_of(column, values)),
            Which::Windows { devices, range } => Some(format!(
                "{} and {} > {} and {} < {}",
                one_of("device_id", devices),
                (dialect.column)("window_end"),
                (dialect.time)(range.start),
                (dialect.column)("window_start"),
                (dialect.time)(range.end),
            )),
            Which::Version { version, device_type } => {
                let types = [SmolStr::default(), (*device_type).into()];
                Some(format!("version = {version} and {}", one_of("device_type", &types)))
            }
        }
    }
}

/// What follows the table's name, but for the order.
pub(crate) fn order_of(table: Table) -> String {
    table.order().join(", ")
}

pub trait Excerpts: Send + Sync {
    /// # Errors
    /// The table cannot be read. Must not be called from async code.
    fn excerpt(&self, table: Table, which: &Which<'_>, format: Format) -> Result<Vec<u8>, Error>;
}

impl Excerpts for ParquetStore {
    fn excerpt(&self, table: Table, which: &Which<'_>, format: Format) -> Result<Vec<u8>, Error> {
        let dialect = Dialect {
            quoted: |text| format!("'{}'", text.replace('\'', "''")),
            column: |name| format!("cast({name} as bigint)"),
            time: |time| time.0.to_string(),
        };
        let condition = which.condition(&dialect).map_or_else(String::new, |condition| format!("where {condition}"));
        let mut text = Vec::new();
        let sql = format!("select * from {} {condition} order by {}", table.name(), order_of(table));
        self.query_to(&sql, format, &mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, RejectedRow, Store, VerdictRow};

    fn verdict(finding: &str, author: &str) -> VerdictRow {
        VerdictRow {
            finding_id: finding.into(),
            verdict: "false".into(),
            author: author.into(),
            given_at: EventTime(1_000_000),
            note: String::new(),
        }
    }

    #[test]
    fn rows_are_chosen_by_a_column_and_come_in_order_whatever_they_are_called() {
        let folder = tempfile::tempdir().unwrap();
        let store = ParquetStore::create(folder.path(), Config::default()).unwrap();
        let rows = [verdict("f1", "otto"), verdict("it's", "berta"), verdict("it's", "anna")];
        store.write_verdicts("some", &rows).unwrap();
        store.write_rejected("none", &[] as &[RejectedRow]).unwrap();
        let asked = |values: &[&str]| {
            let values: Vec<SmolStr> = values.iter().map(|value| SmolStr::from(*value)).collect();
            let which = Which::OneOf { column: "finding_id", values: &values };
            String::from_utf8(store.excerpt(Table::Verdicts, &which, Format::Csv).unwrap()).unwrap()
        };
        let of_two = asked(&["it's", "f9"]);
        assert_eq!(of_two.lines().count(), 3, "{of_two}");
        assert!(of_two.lines().nth(1).unwrap().contains("anna"), "{of_two}");
        assert_eq!(asked(&["' or '' = '"]).lines().count(), 1, "the header");
        assert_eq!(asked(&[]).lines().count(), 1);
        let all = store.excerpt(Table::Verdicts, &Which::All, Format::Json).unwrap();
        assert_eq!(all.split(|byte| *byte == b'{').count(), 4);
    }

    #[test]
    fn windows_that_touch_the_range_are_meant() {
        let dialect = Dialect {
            quoted: |text| format!("<{text}>"),
            column: |name| name.to_owned(),
            time: |time| time.0.to_string(),
        };
        let which = Which::Windows { devices: &["a".into(), "b".into()], range: EventTime(5)..EventTime(9) };
        let condition = which.condition(&dialect).unwrap();
        assert_eq!(condition, "device_id in (<a>, <b>) and window_end > 5 and window_start < 9");
        let which = Which::Version { version: 3, device_type: "lamp" };
        assert_eq!(which.condition(&dialect).unwrap(), "version = 3 and device_type in (<>, <lamp>)");
    }
}
