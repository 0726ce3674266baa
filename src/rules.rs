//! Policy rules, compiled with the store's SQL engine and matched against the windows of a step at once.

use std::sync::Arc;

use anyhow::Context;
use arrow::array::{Array, ArrayRef, Float32Array, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use detect::RuleSet;
use detect::rules::Rule;
use detect::rules::columns::{Columns, NUMBERS, TEXTS};
use fleet::{Feature, Window};
use store::Predicate;

pub struct CompiledRules {
    rules: Vec<(Rule, Predicate)>,
    /// Only the columns that some rule names.
    columns: Vec<Column>,
    schema: SchemaRef,
}

#[derive(Clone, Copy)]
enum Column {
    Feature(Feature),
    Text(usize),
    Number(usize),
}

impl CompiledRules {
    /// Errors show the rule and what is wrong with its predicate.
    pub fn compile(rules: RuleSet) -> anyhow::Result<CompiledRules> {
        let named = |name: &str| rules.rules.iter().any(|rule| words(&rule.when).any(|word| word == name));
        let all = every_column();
        // All columns, so that a mistake is answered with every name there is.
        let everything = Schema::new(all.iter().map(|(field, _)| field.clone()).collect::<Vec<_>>());
        for rule in &rules.rules {
            Predicate::compile(&rule.when, &everything).with_context(|| format!("rule `{}`", rule.id))?;
        }
        let used: Vec<(Field, Column)> = all.into_iter().filter(|(field, _)| named(field.name())).collect();
        let schema = Arc::new(Schema::new(used.iter().map(|(field, _)| field.clone()).collect::<Vec<_>>()));
        let columns = used.iter().map(|(_, column)| *column).collect();
        let mut compiled = Vec::new();
        for rule in rules.rules {
            let predicate = Predicate::compile(&rule.when, &schema).with_context(|| format!("rule `{}`", rule.id))?;
            compiled.push((rule, predicate));
        }
        Ok(CompiledRules { rules: compiled, columns, schema })
    }

    /// Calls `matched` with each rule and the index of each window it matches.
    pub fn for_each_match(
        &self,
        windows: &[&Window],
        columns: &[Columns],
        mut matched: impl FnMut(&Rule, usize),
    ) -> anyhow::Result<()> {
        if windows.is_empty() || self.columns.is_empty() {
            return Ok(());
        }
        let arrays = self.columns.iter().map(|column| array(*column, windows, columns)).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays)?;
        for (rule, predicate) in &self.rules {
            let hits = predicate.evaluate(&batch).with_context(|| format!("rule `{}`", rule.id))?;
            for index in hits.values().set_indices() {
                if !hits.is_null(index) {
                    matched(rule, index);
                }
            }
        }
        Ok(())
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !(character.is_alphanumeric() || character == '_'))
}

fn every_column() -> Vec<(Field, Column)> {
    let mut all = Vec::new();
    for feature in Feature::ALL {
        all.push((Field::new(feature.name(), DataType::Float32, false), Column::Feature(*feature)));
    }
    for (index, (name, _)) in TEXTS.iter().enumerate() {
        all.push((Field::new(*name, DataType::Utf8, false), Column::Text(index)));
    }
    for (index, (name, _)) in NUMBERS.iter().enumerate() {
        all.push((Field::new(*name, DataType::Float64, false), Column::Number(index)));
    }
    all
}

fn array(column: Column, windows: &[&Window], columns: &[Columns]) -> ArrayRef {
    match column {
        Column::Feature(feature) => {
            Arc::new(Float32Array::from_iter_values(windows.iter().map(|window| window.get(feature))))
        }
        Column::Text(index) => Arc::new(StringArray::from_iter_values(columns.iter().map(|row| row.text(index)))),
        Column::Number(index) => Arc::new(Float64Array::from_iter_values(columns.iter().map(|row| row.numbers[index]))),
    }
}

#[cfg(test)]
mod tests;
