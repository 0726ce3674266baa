//! An SQL condition over one batch: what policy rules are written in.
//!
//! DataFusion parses, types and evaluates it; there is no table and no query, so only columns of the given schema and
//! scalar functions may occur. Null means "not known" and is for the caller to read as false.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::BooleanArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::{DFSchema, cast::as_boolean_array};
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::prelude::SessionContext;

use crate::error::Error;
use crate::query::engine::session_config;
use crate::query::explain::{Names, explain};

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
    /// the names that are like it; for an expression that is not a condition its type.
    pub fn compile(expression: &str, schema: &Schema) -> Result<Predicate, Error> {
        let names =
            Names { tables: Vec::new(), columns: schema.fields().iter().map(|field| field.name().clone()).collect() };
        let explained = |error: DataFusionError| Error::Sql(explain("expression", &error, expression, &names));
        let fields = DFSchema::try_from(schema.clone()).map_err(explained)?;
        let logical = FUNCTIONS.parse_sql_expr(expression, &fields).map_err(explained)?;
        let physical = FUNCTIONS.create_physical_expr(logical, &fields).map_err(explained)?;
        let data_type = physical.data_type(schema).map_err(explained)?;
        if data_type != DataType::Boolean && data_type != DataType::Null {
            let problem = format!("it is a value of type {data_type}, expected a condition (true or false)");
            return Err(explained(DataFusionError::Plan(problem)));
        }
        if let Some(text) = text_as_number(&physical, schema) {
            let problem = format!(
                "{text} is text and is used as a number; compare it with text in single quotes, or say what is to be \
                 read as a number with `try_cast({} as double)`",
                text.trim_matches('`')
            );
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

/// Text that has to be a number, or every evaluation fails: a column by its name, anything else as it is.
fn text_as_number(expression: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<String> {
    if let Some(cast) = (expression.as_ref() as &dyn Any).downcast_ref::<CastExpr>()
        && cast.cast_type().is_numeric()
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
