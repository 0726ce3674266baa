//! The page and the code say the same; so do the files.

use store::Table;
use store::dictionary::{TextLayout, to_markdown};

#[test]
fn the_page_is_what_the_dictionary_prints() {
    let page = include_str!("../../docs/tables.md");
    assert!(page == to_markdown(), "run: cargo run --release -p store --example tables > docs/tables.md");
}

#[test]
fn names_are_unique_and_orders_name_columns() {
    for table in Table::ALL {
        assert_eq!(Table::from_name(table.name()), Some(table));
        let schema = table.schema(TextLayout::View);
        for column in table.order() {
            assert!(schema.column_with_name(column).is_some(), "{}.{column}", table.name());
        }
        let mut names: Vec<_> = schema.fields().iter().map(|field| field.name()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), schema.fields().len(), "{} names a column twice", table.name());
    }
    let windows = Table::Windows.schema(TextLayout::View);
    for feature in fleet::Feature::definitions() {
        assert!(windows.column_with_name(feature.name).is_some());
    }
}
