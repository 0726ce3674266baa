//! An SQL condition over one batch: what policy rules are written in.
//!
//! DataFusion parses, types and evaluates it; there is no table and no query, so only columns of the given schema and
//! scalar functions may occur. Null means "not known" and is for the caller to read as false.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{BooleanArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Diagnostic, Location, Span};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::prelude::SessionContext;

use crate::error::Error;
use crate::query::engine::session_config;
use crate::query::explain::{Names, explain, find_word, nearest};

/// Metadata of a field: all that its text can be, separated by commas. It is not compared with anything else.
pub const VALUES: &str = "values";

/// Knows the functions; holds no tables.
static FUNCTIONS: LazyLock<SessionContext> = LazyLock::new(|| SessionContext::new_with_config(session_config()));

#[derive(Clone)]
pub struct Predicate {
    text: String,
    expression: Arc<dyn PhysicalExpr>,
}

impl Predicate {
    /// # Errors
    /// [`Error::Sql`] with the expression and a caret under the mistake where its place is known; for an unknown column
    /// the names that are like it; for an expression that is not a condition its type; for text that a column never is (see
    /// [`VALUES`]) what it can be.
    pub fn compile(expression: &str, schema: &Schema) -> Result<Predicate, Error> {
        let names =
            Names { tables: Vec::new(), columns: schema.fields().iter().map(|field| field.name().clone()).collect() };
        let explained = |error: DataFusionError| Error::Sql(explain("expression", &error, expression, &names));
        let fields = DFSchema::try_from(schema.clone()).map_err(explained)?;
        let logical = FUNCTIONS.parse_sql_expr(expression, &fields).map_err(explained)?;
        if let Some((text, problem)) = never(&logical, schema) {
            return Err(explained(wrong_at(expression, &format!("'{}'", text.replace('\'', "''")), problem)));
        }
        let physical = FUNCTIONS.create_physical_expr(logical, &fields).map_err(explained)?;
        let data_type = physical.data_type(schema).map_err(explained)?;
        if data_type != DataType::Boolean && data_type != DataType::Null {
            let problem = format!("it is a value of type {data_type}, expected a condition (true or false)");
            return Err(explained(DataFusionError::Plan(problem)));
        }
        if let Some(text) = text_as_number(&physical, schema) {
            let bare = text.trim_matches('`');
            let problem = format!(
                "{text} is text and is used as a number; compare it with text in single quotes, or say what is to be \
                 read as a number with `try_cast({bare} as double)`"
            );
            return Err(explained(wrong_at(expression, bare, problem)));
        }
        // What fails whatever the values are.
        let nullable = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let nullable = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
        let nothing = nullable.fields().iter().map(|field| new_null_array(field.data_type(), 1)).collect();
        let nothing = RecordBatch::try_new(nullable, nothing).map_err(|error| explained(error.into()))?;
        if let Err(error) = physical.evaluate(&nothing) {
            let problem = format!("it fails whatever is found: {}", error.strip_backtrace());
            return Err(explained(DataFusionError::Plan(problem)));
        }
        Ok(Predicate { text: expression.to_owned(), expression: physical })
    }

    /// One value for each row of a batch with the schema this was compiled for.
    ///
    /// # Errors
    /// [`Error::Query`]: a batch of another schema, a value that an operation refuses (division by zero, a cast).
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray, Error> {
        let failed = |error: &dyn fmt::Display| Error::Query(format!("`{}`: {error}", self.text));
        let value = self.expression.evaluate(batch).map_err(|error| failed(&error.strip_backtrace()))?;
        let array = value.into_array(batch.num_rows()).map_err(|error| failed(&error.strip_backtrace()))?;
        let array = cast(&array, &DataType::Boolean).map_err(|error| failed(&error))?;
        Ok(as_boolean_array(&array).map_err(|error| failed(&error.strip_backtrace()))?.clone())
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The caret stands under the first such word.
fn wrong_at(expression: &str, word: &str, problem: String) -> DataFusionError {
    let span = find_word(expression, word).map(|(line, column)| {
        let at = Location { line, column };
        Span::new(at, at)
    });
    let diagnostic = Diagnostic::new_error(problem.clone(), span);
    DataFusionError::Plan(problem).with_diagnostic(diagnostic)
}

/// Text that its column never is, and what is wrong with it.
fn never(expression: &Expr, schema: &Schema) -> Option<(String, String)> {
    let mut found = None;
    let _ = expression.apply(|part| {
        let compared: Vec<(&Expr, &Expr)> = match part {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq | Operator::NotEq, right }) => {
                vec![(left, right), (right, left)]
            }
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq,
                right,
            }) => {
                found = ordered(left, right, schema).or_else(|| ordered(right, left, schema));
                Vec::new()
            }
            Expr::Between(between) => {
                found = ordered(&between.expr, &between.low, schema);
                Vec::new()
            }
            Expr::InList(list) => list.list.iter().map(|value| (&*list.expr, value)).collect(),
            _ => Vec::new(),
        };
        found = found.take().or_else(|| compared.into_iter().find_map(|(one, other)| never_is(one, other, schema)));
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

/// Letters are no order: `critical` comes before `high`.
fn ordered(column: &Expr, value: &Expr, schema: &Schema) -> Option<(String, String)> {
    let (Expr::Column(column), Expr::Literal(value, _)) = (column, value) else { return None };
    let text = value.try_as_str()??;
    schema.field_with_name(&column.name).ok()?.metadata().get(VALUES)?;
    let rank = format!("{}_rank", column.name);
    let meant = match schema.field_with_name(&rank) {
        Ok(_) => format!("compare `{rank}`, a number"),
        Err(_) => "say which it may be, with `in (...)`".to_owned(),
    };
    Some((text.to_owned(), format!("`{}` is text, and the order of letters is not its own; {meant}", column.name)))
}

fn never_is(column: &Expr, value: &Expr, schema: &Schema) -> Option<(String, String)> {
    let (Expr::Column(column), Expr::Literal(value, _)) = (column, value) else { return None };
    let text = value.try_as_str()??;
    let values = schema.field_with_name(&column.name).ok()?.metadata().get(VALUES)?;
    let values: Vec<String> = values.split(',').map(str::to_owned).collect();
    if values.iter().any(|value| value == text) {
        return None;
    }
    let meant = match nearest(text, &values) {
        near if near.is_empty() => format!("expected one of {}", values.join(", ")),
        near => format!("did you mean {}?", near.join(", ")),
    };
    Some((text.to_owned(), format!("`{}` is never `{text}`; {meant}", column.name)))
}

/// Text that has to be a number, or every evaluation fails: a column by its name, anything else as it is.
fn text_as_number(expression: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<String> {
    if let Some(cast) = (expression.as_ref() as &dyn Any).downcast_ref::<CastExpr>()
        && cast.cast_type().is_numeric()
        // What is written out can be computed, or was refused.
        && (cast.expr().as_ref() as &dyn Any).downcast_ref::<Literal>().is_none()
        && matches!(cast.expr().data_type(schema), Ok(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View))
    {
        let column = (cast.expr().as_ref() as &dyn Any).downcast_ref::<Column>();
        return Some(column.map_or_else(|| cast.expr().to_string(), |column| format!("`{}`", column.name())));
    }
    expression.children().into_iter().find_map(|child| text_as_number(child, schema))
}

impl fmt::Debug for Predicate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Predicate({})", self.text)
    }
}
