//! The one column dictionary: every table, its columns, their types and meaning, and the order rows are kept in.
//!
//! `docs/tables.md` is printed from it (`cargo run -p store --example tables`) and a test compares the two. The schemas
//! of files, of batches and of queries are made from it, so that a column cannot be written under another type than it
//! is read.

use std::fmt::Write;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

mod columns;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    Windows,
    Contacts,
    Evidence,
    Findings,
    Incidents,
    Actions,
    Devices,
    Baselines,
    Verdicts,
    Rejected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Microseconds since the Unix epoch, UTC.
    Time,
    /// Few different values: a dictionary in batches.
    Text,
    /// Long or always different: JSON, sentences, raw bytes of a record.
    LongText,
    U16,
    U32,
    U64,
    F32,
    F64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub column_type: ColumnType,
    pub nullable: bool,
    pub meaning: String,
}

/// How a [`ColumnType::Text`] column is held in memory; on disk they are all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextLayout {
    /// `Utf8`: rows that are few.
    Plain,
    /// `Dictionary(Int32, Utf8)`: windows and contacts, written and read by the hundred thousand.
    Dictionary,
    /// `Utf8View`: what DataFusion compares and groups fastest.
    View,
}

impl Table {
    pub const ALL: [Table; 10] = [
        Table::Windows,
        Table::Contacts,
        Table::Evidence,
        Table::Findings,
        Table::Incidents,
        Table::Actions,
        Table::Devices,
        Table::Baselines,
        Table::Verdicts,
        Table::Rejected,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Table::Windows => "windows",
            Table::Contacts => "contacts",
            Table::Evidence => "evidence",
            Table::Findings => "findings",
            Table::Incidents => "incidents",
            Table::Actions => "actions",
            Table::Devices => "devices",
            Table::Baselines => "baselines",
            Table::Verdicts => "verdicts",
            Table::Rejected => "rejected",
        }
    }

    pub fn from_name(name: &str) -> Option<Table> {
        Table::ALL.into_iter().find(|table| table.name() == name)
    }

    /// What one row is.
    pub fn meaning(self) -> &'static str {
        match self {
            Table::Windows => "one closed window of one device: its features, and how far it was from normal",
            Table::Contacts => "what a device exchanged with one service and destination in one window",
            Table::Evidence => "one detector's reason in one window, near misses included",
            Table::Findings => "a device or a group that departed from its baseline; never changed once written",
            Table::Incidents => "findings about one device or group and episode, in their latest state",
            Table::Actions => {
                "what was decided and done about an incident, a row for each thing that happened to an action"
            }
            Table::Devices => "what is known of a device, in its latest state",
            Table::Baselines => {
                "what is normal for one type in one segment, one version; the row of no type holds how the line was calibrated"
            }
            Table::Verdicts => "what a person said of a finding",
            Table::Rejected => "a record that could not be used, and why",
        }
    }

    pub fn columns(self) -> Vec<Column> {
        columns::of(self)
    }

    /// The rows' order after compaction, and what makes a row one of its kind: equal replays give equal tables.
    pub fn order(self) -> &'static [&'static str] {
        match self {
            Table::Windows => &["window_start", "device_id"],
            Table::Contacts => &["window_start", "device_id", "ordinal"],
            Table::Evidence => &["window_start", "device_id", "detector", "subject", "evidence"],
            Table::Findings => &["emitted_at", "finding_id"],
            Table::Incidents => &["opened_at", "incident_id"],
            Table::Actions => &["decided_at", "action_id", "seq"],
            Table::Devices => &["device_id"],
            Table::Baselines => &["version", "device_type", "segment"],
            Table::Verdicts => &["given_at", "finding_id", "author"],
            Table::Rejected => &["file", "offset", "reason"],
        }
    }

    /// Tables of a latest state: their files are written again, whole, and never merged.
    pub fn is_written_whole(self) -> bool {
        matches!(self, Table::Incidents | Table::Devices)
    }

    pub fn schema(self, layout: TextLayout) -> SchemaRef {
        let fields: Vec<Field> = self.columns().into_iter().map(|column| column.field(layout)).collect();
        Arc::new(Schema::new(fields))
    }
}

impl ColumnType {
    /// As `docs/tables.md` calls it.
    pub fn name(self) -> &'static str {
        match self {
            ColumnType::Time => "timestamp (us, UTC)",
            ColumnType::Text | ColumnType::LongText => "text",
            ColumnType::U16 => "u16",
            ColumnType::U32 => "u32",
            ColumnType::U64 => "u64",
            ColumnType::F32 => "f32",
            ColumnType::F64 => "f64",
        }
    }

    pub fn data_type(self, layout: TextLayout) -> DataType {
        match (self, layout) {
            (ColumnType::Time, _) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            (ColumnType::Text, TextLayout::Dictionary) => {
                DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
            }
            (ColumnType::Text | ColumnType::LongText, TextLayout::View) => DataType::Utf8View,
            (ColumnType::Text | ColumnType::LongText, _) => DataType::Utf8,
            (ColumnType::U16, _) => DataType::UInt16,
            (ColumnType::U32, _) => DataType::UInt32,
            (ColumnType::U64, _) => DataType::UInt64,
            (ColumnType::F32, _) => DataType::Float32,
            (ColumnType::F64, _) => DataType::Float64,
        }
    }
}

impl Column {
    fn field(&self, layout: TextLayout) -> Field {
        Field::new(self.name, self.column_type.data_type(layout), self.nullable)
    }
}

/// `docs/tables.md`, whole.
pub fn to_markdown() -> String {
    let mut page = String::from(
        "# Tables\n\n\
         What a run keeps, in `OUT/tables/<table>/*.parquet`, and what `vedette query --store OUT \"select ...\"` can ask.\n\
         Files that a service merged into others stay for a while and count no more: `manifest.json` says which are\n\
         merged, and `vedette query` goes by it.\n\
         Times are UTC. This page is printed from the column dictionary (`store/src/dictionary.rs`) by\n\
         `cargo run --release -p store --example tables > docs/tables.md`; a test holds the two together.\n\
         The features of `windows` are explained in [features.md](features.md).\n",
    );
    for table in Table::ALL {
        let order = table.order().join(", ");
        let _ =
            write!(page, "\n## {}\n\nA row is {}. Kept in the order of {order}.\n\n", table.name(), table.meaning());
        page.push_str("| column | type | meaning |\n| --- | --- | --- |\n");
        for column in table.columns() {
            let null = if column.nullable { ", or null" } else { "" };
            let _ = writeln!(page, "| `{}` | {}{null} | {} |", column.name, column.column_type.name(), column.meaning);
        }
    }
    page
}
