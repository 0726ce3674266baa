//! Playbooks, compiled with the store's SQL engine, and what they say of a finding.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use fleet::{Device, EventTime, Finding, Mode};
use responders::book::Book;
use responders::config::Config;
use responders::engine::find::Plan;
use responders::playbook::columns::{COLUMNS, Kind, Value, row};
use responders::playbook::{Circumstances, OnFailure, Period, Playbook, Playbooks, Step, load_folder, shipped};
use store::Predicate;

use crate::config::Misuse;

pub struct CompiledPlaybooks {
    playbooks: Vec<(Playbook, Predicate)>,
    schema: SchemaRef,
}

/// Of a folder, or the shipped ones.
///
/// # Errors
/// Everything that is wrong in any of them, one after the other.
pub fn load(folder: Option<&Path>) -> anyhow::Result<CompiledPlaybooks> {
    let schema = Arc::new(schema());
    // What a file says wrong is told beside what another one asks wrong.
    CompiledPlaybooks::compile(read(folder, |playbook| predicate(playbook, &schema).map(drop))?)
}

/// The same, not compiled.
///
/// # Errors
/// As [`load`].
pub fn all(folder: Option<&Path>) -> anyhow::Result<Playbooks> {
    read(folder, |_| Ok(()))
}

fn read(
    folder: Option<&Path>,
    check: impl Fn(&Playbook) -> Result<(), responders::Error>,
) -> anyhow::Result<Playbooks> {
    let read = folder.map_or_else(shipped, |folder| load_folder(folder, check));
    read.map_err(|errors| Misuse(told(&errors)).into())
}

fn predicate(playbook: &Playbook, schema: &SchemaRef) -> Result<Predicate, responders::Error> {
    Predicate::compile(&playbook.when, schema).map_err(|error| playbook.wrong_when(&error))
}

fn told(errors: &[responders::Error]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl CompiledPlaybooks {
    pub fn compile(playbooks: Playbooks) -> anyhow::Result<CompiledPlaybooks> {
        let schema = Arc::new(schema());
        let (mut compiled, mut wrong) = (Vec::new(), Vec::new());
        for playbook in &playbooks {
            match predicate(playbook, &schema) {
                Ok(predicate) => compiled.push((playbook.clone(), predicate)),
                Err(error) => wrong.push(error),
            }
        }
        if !wrong.is_empty() {
            return Err(Misuse(told(&wrong)).into());
        }
        Ok(CompiledPlaybooks { playbooks: compiled, schema })
    }

    pub fn iter(&self) -> impl Iterator<Item = &Playbook> {
        self.playbooks.iter().map(|(playbook, _)| playbook)
    }

    /// Every playbook as if this were its own mode, to try it on history.
    pub fn in_mode(mut self, mode: Mode) -> CompiledPlaybooks {
        for (playbook, _) in &mut self.playbooks {
            playbook.mode = mode;
        }
        self
    }

    /// What the first playbook that applies says of the finding.
    pub fn plans(
        &self,
        now: EventTime,
        finding: &Finding,
        device: Option<&Device>,
        book: &Book,
        config: &Config,
    ) -> anyhow::Result<Vec<Plan>> {
        let circumstances = circumstances(now, finding, book, config);
        let batch = self.batch(finding, device, circumstances)?;
        for (playbook, predicate) in &self.playbooks {
            if !playbook.applies(finding, device, finding.emitted_at) {
                continue;
            }
            // What the engine refuses to compute (a division by nothing) is no yes.
            let is_met = predicate.evaluate(&batch).inspect_err(|error| {
                tracing::warn!(playbook = playbook.id.as_str(), finding = finding.finding_id, %error, "a playbook's condition failed");
            });
            let is_met = is_met.is_ok_and(|answer| answer.iter().next().flatten() == Some(true));
            if is_met {
                let plan = |step: &Step| plan(playbook, &taken(step, playbook, finding, book));
                return Ok(playbook.steps.iter().map(plan).collect());
            }
        }
        Ok(Vec::new())
    }

    fn batch(
        &self,
        finding: &Finding,
        device: Option<&Device>,
        circumstances: Circumstances,
    ) -> anyhow::Result<RecordBatch> {
        let values = row(finding, device, circumstances);
        let arrays = COLUMNS.iter().zip(values).map(|(column, value)| array(column.kind, value)).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?)
    }
}

fn circumstances(now: EventTime, finding: &Finding, book: &Book, config: &Config) -> Circumstances {
    let device = finding.device_id.as_str();
    let day = 86_400 * fleet::MICROS_PER_SECOND;
    let probation = i64::from(config.probation_seconds) * fleet::MICROS_PER_SECOND;
    // Of history that is fed, times are not the clock's.
    let at = if config.max_age_seconds == 0 { now } else { finding.emitted_at };
    let open = book.of_device(device).filter(|action| action.state.is_at_gateway());
    Circumstances {
        repeats_24h: book.repeats(device, &finding.incident_id, finding.emitted_at, day),
        probation: book.is_on_probation(device, at, probation),
        open_actions: u32::try_from(open.count()).unwrap_or(u32::MAX),
    }
}

/// The step, or what it escalates to.
fn taken(step: &Step, playbook: &Playbook, finding: &Finding, book: &Book) -> Step {
    let Some(escalation) = step.escalate else { return step.clone() };
    let within = i64::from(escalation.within.seconds()) * fleet::MICROS_PER_SECOND;
    let earlier = book.of_device(&finding.device_id).filter(|action| {
        let proposal = &action.proposal;
        proposal.playbook == playbook.id
            && proposal.incident_id != finding.incident_id
            && proposal.level.restricts()
            && action.was_meant()
            && (0..=within).contains(&finding.emitted_at.minus(proposal.found_at))
    });
    step.after(u32::try_from(earlier.count()).unwrap_or(u32::MAX))
}

fn plan(playbook: &Playbook, step: &Step) -> Plan {
    let talking = step.when_still_talking();
    Plan {
        playbook: playbook.id.clone(),
        version: playbook.version().into(),
        mode: playbook.mode,
        level: step.level,
        gateway: (!step.is_auto()).then(|| step.gateway.clone()),
        tries_others: step.then == OnFailure::NextGateway,
        ttl_seconds: step.ttl.map(|ttl| ttl.seconds()),
        answer_seconds: playbook.approval.within.seconds(),
        approvals: if playbook.approval.four_eyes { 2 } else { 1 },
        ask: playbook.approval.ask.clone(),
        ask_for: playbook.approval.levels.clone(),
        stops: step.then == OnFailure::Stop,
        if_still_talking: talking.as_ref().map(|step| step.level),
        talking_ttl_seconds: talking.and_then(|step| step.ttl).map(Period::seconds),
    }
}

fn schema() -> Schema {
    let field = |column: &responders::playbook::columns::Column| {
        let data_type = match column.kind {
            Kind::Text => DataType::Utf8,
            Kind::Number => DataType::Float64,
            Kind::Bool => DataType::Boolean,
        };
        let values = column.values().join(",");
        let metadata = (!values.is_empty()).then(|| (store::VALUES.to_owned(), values));
        Field::new(column.name, data_type, true).with_metadata(metadata.into_iter().collect())
    };
    Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>())
}

fn array(kind: Kind, value: Value) -> ArrayRef {
    match (kind, value) {
        (Kind::Text, Value::Text(text)) => Arc::new(StringArray::from(vec![Some(text.as_str())])),
        (Kind::Text, _) => Arc::new(StringArray::from(vec![None::<&str>])),
        (Kind::Number, Value::Number(number)) => Arc::new(Float64Array::from(vec![Some(number)])),
        (Kind::Number, _) => Arc::new(Float64Array::from(vec![None])),
        (Kind::Bool, Value::Bool(is)) => Arc::new(BooleanArray::from(vec![Some(is)])),
        (Kind::Bool, _) => Arc::new(BooleanArray::from(vec![None])),
    }
}

#[cfg(test)]
mod tests;
