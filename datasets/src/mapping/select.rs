//! A user's `select`: parsed and planned by DataFusion, restricted to expressions over one row.
//!
//! Only the expressions are kept and run, batch by batch, without a table or a query behind them. So a record keeps its
//! place in the file (joins, groups and orders would lose it), rows that fail can be told apart, and nothing is async.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::{filter, filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{ColumnarValue, Expr};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{
    self, ExprWithAlias, Ident, SelectItem, SetExpr, Statement, TableFactor, visit_expressions, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::fields::{FIELDS, find, names, nearest};
use crate::descriptor::RecordKind;

const TABLE: &str = "input";

/// The text of a `select`, known to be a projection and a filter of `input`.
pub(super) struct Parsed {
    columns: Vec<(String, ast::Expr)>,
    selection: Option<ast::Expr>,
}

impl Parsed {
    /// Errors say what is wrong with the text, to follow "the `select` of `file`".
    pub fn new(sql: &str) -> Result<Parsed, String> {
        let shape = "must be `select <expression> as <field>, ... from input [where <condition>]`";
        let mut statements = Parser::parse_sql(&GenericDialect {}, sql)
            .map_err(|error| format!("cannot be parsed: {error}; it {shape}"))?;
        let [Statement::Query(query)] = statements.as_mut_slice() else {
            return Err(shape.to_string());
        };
        let SetExpr::Select(select) = query.body.as_ref() else {
            return Err(shape.to_string());
        };
        let items: Vec<String> = select.projection.iter().map(ToString::to_string).collect();
        let tables: Vec<String> = select.from.iter().map(ToString::to_string).collect();
        let condition = select.selection.as_ref().map_or(String::new(), |condition| format!(" WHERE {condition}"));
        // Whatever else a select can have (joins, groups, order, limits, ...) is in the whole and not in these three parts.
        let plain = format!("SELECT {} FROM {}{condition}", items.join(", "), tables.join(", "));
        let [table] = select.from.as_slice() else {
            return Err(format!(
                "reads from {}; it {shape}",
                if tables.is_empty() { "nothing" } else { "several tables" }
            ));
        };
        let TableFactor::Table { name, .. } = &table.relation else {
            return Err(format!("reads from `{}`; it {shape}", table.relation));
        };
        if name.to_string() != TABLE || !table.joins.is_empty() || plain != query.to_string() {
            return Err(format!("is `{query}`, more than expressions over one record; it {shape}"));
        }
        let mut columns = Vec::with_capacity(select.projection.len());
        for item in &select.projection {
            columns.push(named(item)?);
        }
        let mut parsed = Parsed { columns, selection: select.selection.clone() };
        parsed.each(&mut |expression| strip_table(expression));
        Ok(parsed)
    }

    /// Columns of the input that are named; dotted names (`id.orig_h`) are one column.
    pub fn inputs(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for expression in self.columns.iter().map(|(_, expression)| expression).chain(&self.selection) {
            let _ = visit_expressions(expression, |inner| {
                if let ast::Expr::Identifier(identifier) = inner {
                    found.insert(identifier.value.clone());
                }
                ControlFlow::<()>::Continue(())
            });
        }
        found
    }

    fn each(&mut self, change: &mut dyn FnMut(&mut ast::Expr)) {
        for expression in self.columns.iter_mut().map(|(_, expression)| expression).chain(&mut self.selection) {
            let _ = visit_expressions_mut(expression, |inner| {
                change(inner);
                ControlFlow::<()>::Continue(())
            });
        }
    }
}

fn named(item: &SelectItem) -> Result<(String, ast::Expr), String> {
    match item {
        SelectItem::ExprWithAlias { expr, alias } => Ok((alias.value.clone(), expr.clone())),
        SelectItem::UnnamedExpr(expr) => match expr {
            ast::Expr::Identifier(identifier) => Ok((identifier.value.clone(), expr.clone())),
            ast::Expr::CompoundIdentifier(parts) if parts.len() == 2 && parts[0].value == TABLE => {
                Ok((parts[1].value.clone(), expr.clone()))
            }
            _ => Err(format!("does not name the field of `{expr}`; write `{expr} as <field>`")),
        },
        _ => Err(format!("takes `{item}`; name the columns one by one, each with the field it stands for")),
    }
}

/// `input.a` is the column `a`, and `id.orig_h` the column of that name: rows have no other structure.
fn strip_table(expression: &mut ast::Expr) {
    let joined = match expression {
        ast::Expr::CompoundIdentifier(parts) => {
            let from = usize::from(parts.len() > 1 && parts[0].value == TABLE);
            parts[from..].iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".")
        }
        // Quoted, so that the planner takes it as it is written.
        ast::Expr::Identifier(identifier) => identifier.value.clone(),
        _ => return,
    };
    *expression = ast::Expr::Identifier(Ident::with_quote('"', joined));
}

/// A `select` planned for one schema and one kind.
pub(super) struct Select {
    filter: Option<Arc<dyn PhysicalExpr>>,
    /// Index into [`FIELDS`].
    columns: Vec<(usize, Arc<dyn PhysicalExpr>)>,
}

/// What a `select` made of a batch: arrays by field, and each row's offset in its file.
pub(super) struct Selected {
    pub arrays: Vec<(usize, ArrayRef)>,
    pub offsets: UInt64Array,
}

impl Select {
    /// Errors as [`Parsed::new`].
    pub fn plan(parsed: Parsed, kind: RecordKind, schema: &SchemaRef) -> Result<Select, String> {
        let mut targets = Vec::with_capacity(parsed.columns.len());
        for (name, _) in &parsed.columns {
            let target = find(name, kind).ok_or_else(|| unknown_field(name, kind))?;
            if targets.contains(&target) {
                return Err(format!("gives `{name}` twice; leave one out"));
            }
            targets.push(target);
        }
        demand(&targets, kind)?;
        let state = SessionContext::new().state();
        let columns = DFSchema::try_from(schema.clone()).map_err(|error| explain(&error))?;
        let filter = parsed.selection.map(|expression| physical(&state, expression, &columns)).transpose()?;
        if let Some(filter) = &filter
            && !matches!(filter.data_type(schema), Ok(DataType::Boolean))
        {
            return Err(format!("has a `where` that is neither true nor false: `{filter}`"));
        }
        let mut planned = Vec::with_capacity(targets.len());
        for (target, (_, expression)) in targets.into_iter().zip(parsed.columns) {
            planned.push((target, physical(&state, expression, &columns)?));
        }
        Ok(Select { filter, columns: planned })
    }

    /// `offsets[i]` is the place of row `i`. Errors are an expression's (a cast that fails, a division by zero), of whichever
    /// row.
    pub fn apply(&self, batch: &RecordBatch, offsets: &UInt64Array) -> Result<Selected, DataFusionError> {
        let mut kept = None;
        if let Some(condition) = &self.filter {
            let mask = condition.evaluate(batch)?.into_array(batch.num_rows())?;
            let mask = without_nulls(mask.as_boolean());
            if mask.true_count() < batch.num_rows() {
                let kept_offsets = filter(offsets, &mask)?.as_primitive().clone();
                kept = Some((filter_record_batch(batch, &mask)?, kept_offsets));
            }
        }
        let (batch, offsets) = kept.as_ref().map_or((batch, offsets), |(batch, offsets)| (batch, offsets));
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (target, expression) in &self.columns {
            let array = match expression.evaluate(batch)? {
                ColumnarValue::Array(array) => array,
                ColumnarValue::Scalar(scalar) => scalar.to_array_of_size(batch.num_rows())?,
            };
            arrays.push((*target, array));
        }
        Ok(Selected { arrays, offsets: offsets.clone() })
    }
}

fn without_nulls(mask: &BooleanArray) -> BooleanArray {
    if mask.nulls().is_some() { prep_null_mask_filter(mask) } else { mask.clone() }
}

fn physical(state: &SessionState, expression: ast::Expr, columns: &DFSchema) -> Result<Arc<dyn PhysicalExpr>, String> {
    let text = expression.to_string();
    let planned = state
        .create_logical_expr_from_sql_expr(ExprWithAlias { expr: expression, alias: None }, columns)
        .map_err(|error| format!("has `{text}`, which cannot be planned: {}", explain(&error)))?;
    refuse_more_than_a_row(&planned, &text)?;
    state
        .create_physical_expr(planned, columns)
        .map_err(|error| format!("has `{text}`, which cannot be planned: {}", explain(&error)))
}

/// Aggregates and windows need other records; what differs from run to run would make a replay give other results.
fn refuse_more_than_a_row(expression: &Expr, text: &str) -> Result<(), String> {
    let mut problem = None;
    let walked = expression.apply(|inner| {
        problem = match inner {
            Expr::AggregateFunction(_) | Expr::WindowFunction(_) | Expr::Unnest(_) => {
                Some("needs other records than one")
            }
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) => Some("holds a query of its own"),
            Expr::ScalarFunction(function)
                if matches!(function.name(), "now" | "current_date" | "current_time" | "random" | "uuid") =>
            {
                Some("differs from run to run")
            }
            _ => None,
        };
        Ok(if problem.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    match (problem, walked) {
        (Some(problem), _) => Err(format!("has `{text}`, which {problem}; use expressions over one record")),
        (None, Err(error)) => Err(explain(&error)),
        (None, Ok(_)) => Ok(()),
    }
}

/// First line only: DataFusion appends backtraces and long lists.
fn explain(error: &DataFusionError) -> String {
    error.strip_backtrace().lines().next().unwrap_or_default().to_string()
}

fn demand(targets: &[usize], kind: RecordKind) -> Result<(), String> {
    let has = |name: &str| find(name, kind).is_some_and(|field| targets.contains(&field));
    if !has("time") && !has("start") {
        return Err("gives no `time`; every reading needs an event time".to_string());
    }
    if !["client_id", "mac", "ip", "certificate"].iter().any(|name| has(name)) {
        return Err("says not who did it; give at least one of `client_id`, `mac`, `ip`, `certificate`".to_string());
    }
    let needed: &[&str] = match kind {
        RecordKind::Flow => &["responder_ip", "protocol"],
        RecordKind::SignIn => &["success"],
        RecordKind::Session => &["event"],
        RecordKind::Message => &["topic"],
        RecordKind::Posture => &[],
    };
    match needed.iter().find(|name| !has(name)) {
        Some(name) => Err(format!("gives no `{name}`, which this kind cannot do without")),
        None => Ok(()),
    }
}

fn unknown_field(name: &str, kind: RecordKind) -> String {
    let known = names(kind);
    let elsewhere = FIELDS.iter().any(|field| field.name == name);
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if elsewhere => "; it belongs to another `kind`".to_string(),
        None => "; leave it out".to_string(),
    };
    format!("gives `{name}`, which is no field of this kind{hint} (fields: {})", known.join(", "))
}

/// What to say of the first column that the `select` reads and the file lacks.
pub(super) fn unknown_column(used: &[String], schema: &SchemaRef) -> Option<String> {
    let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let name = used.iter().find(|name| !known.contains(&name.as_str()))?;
    let hint = nearest(name, known.iter().copied()).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    let listed = if known.is_empty() { "none".to_string() } else { known.join(", ") };
    Some(format!("reads `{name}`, which is no column of the file{hint} (columns: {listed})"))
}
