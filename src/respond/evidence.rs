//! What stores, journal and playbooks have about one incident, as files of a bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, anyhow};
use datasets::scorecard::run::RunInfo;
use fleet::id::stable_id;
use fleet::{EventTime, Mode, Position, Reason};
use responders::evidence::excerpt::Excerpted;
use responders::evidence::{JOURNAL, Part, WHOLE_JOURNAL};
use responders::playbook::Playbook;
use serde::Serialize;
use serde_json::{Map, Value};
use smol_str::SmolStr;
use store::{Excerpts, Format, Table, Which};

use super::playbooks;

/// What is told of before the incident and after it.
const AROUND_SECONDS: i64 = 3_600;

type Object = Map<String, Value>;

/// Where it is looked up.
pub struct Shelves<'s> {
    pub rows: &'s dyn Excerpts,
    /// What positions mean.
    pub run: &'s RunInfo,
    /// None: there is no journal.
    pub journal: Option<Excerpted>,
    pub playbooks: Option<&'s Path>,
}

/// Ids of all incidents that begin with this.
///
/// # Errors
/// The store cannot be read.
pub fn ids_like(rows: &dyn Excerpts, begin: &str) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let exactly = [SmolStr::from(begin)];
    let this = Which::OneOf { column: "incident_id", values: &exactly };
    let this = texts(&objects(rows, Table::Incidents, &this)?, "incident_id");
    if !this.is_empty() {
        return Ok((this, Vec::new()));
    }
    let all = texts(&objects(rows, Table::Incidents, &Which::All)?, "incident_id");
    Ok((all.iter().filter(|id| id.starts_with(begin)).cloned().collect(), all))
}

/// The files, in the order in which the bundle's own README has them.
///
/// # Errors
/// A table that cannot be read, or holds what cannot be understood.
pub fn gather(shelves: &Shelves<'_>, incident_id: &str) -> anyhow::Result<Vec<Part>> {
    let id = [SmolStr::from(incident_id)];
    let ours = Which::OneOf { column: "incident_id", values: &id };
    let incidents = objects(shelves.rows, Table::Incidents, &ours)?;
    let incident = incidents.first().with_context(|| format!("there is no incident `{incident_id}`"))?;
    let mut findings = objects(shelves.rows, Table::Findings, &ours)?;
    let mut places = Places { run: shelves.run, sources: BTreeMap::new() };
    let mut records = Vec::new();
    for finding in &mut findings {
        records.push(unfold(finding, &mut places)?);
    }
    let devices = devices(incident, &findings);
    let range = time(incident, "first_window")?.plus_seconds(-AROUND_SECONDS)
        ..time(incident, "last_window")?.plus_seconds(AROUND_SECONDS);
    let around = Which::Windows { devices: &devices, range };
    let mut windows = objects(shelves.rows, Table::Windows, &around)?;
    windows.iter_mut().for_each(mask);
    let contacts = objects(shelves.rows, Table::Contacts, &around)?;
    let evidence = objects(shelves.rows, Table::Evidence, &around)?;
    [&windows, &contacts, &evidence].into_iter().flatten().for_each(|row| places.name_all(row));
    let told: Vec<SmolStr> = texts(&findings, "finding_id").into_iter().map(SmolStr::from).collect();
    let verdicts = Which::OneOf { column: "finding_id", values: &told };
    let mut parts = vec![
        Part::new("incident.json", json(incident)?),
        Part::new("findings.json", json(&findings)?),
        Part::new("records.json", json(&serde_json::json!({ "sources": places.sources, "findings": records }))?),
        Part::new("windows.json", lines(&windows)?),
        Part::new("contacts.json", lines(&contacts)?),
        Part::new("evidence.json", lines(&evidence)?),
        Part::new("baselines.json", json(&baselines(shelves.rows, &findings)?)?),
        Part::new("verdicts.json", json(&objects(shelves.rows, Table::Verdicts, &verdicts)?)?),
    ];
    if let Some(journal) = &shelves.journal {
        parts.push(Part::new("playbooks.json", json(&decided(journal, shelves.playbooks)?)?));
    }
    parts.push(Part::new("actions.json", json(&objects(shelves.rows, Table::Actions, &ours)?)?));
    if let Some(journal) = &shelves.journal {
        parts.push(Part::new(JOURNAL, journal.lines.as_str()));
        parts.push(Part::new("journal-head.json", json(&journal.head)?));
        if !journal.whole.is_empty() {
            parts.push(Part::new(WHOLE_JOURNAL, journal.whole.as_str()));
        }
    }
    Ok(parts)
}

/// What numbers of sources mean, as far as they were asked for.
struct Places<'r> {
    run: &'r RunInfo,
    sources: BTreeMap<u32, String>,
}

impl Places<'_> {
    fn of(&mut self, position: Position) -> String {
        self.name(position.source);
        self.run.place_of(position)
    }

    fn name(&mut self, source: u32) {
        let run = self.run;
        self.sources.entry(source).or_insert_with(|| {
            let place = run.place_of(Position { source, offset: 0 });
            let end = if place.ends_with(" offset 0") { " offset 0" } else { ":1" };
            place.strip_suffix(end).unwrap_or(&place).to_owned()
        });
    }

    fn name_all(&mut self, row: &Object) {
        let numbers = ["first_source", "last_source"].iter().filter_map(|column| row.get(*column)?.as_u64());
        numbers.filter_map(|number| u32::try_from(number).ok()).for_each(|source| self.name(source));
    }
}

/// Senders are asked for hashes of tokens and credentials; whoever sends them as they are has them kept out here.
fn mask(window: &mut Object) {
    let Ok(mut details) = serde_json::from_str::<Value>(text(window, "details")) else { return };
    let masked = |text: &str| Value::String(format!("masked-{}", stable_id(&["masked", text])));
    if let Some(credential) = details.get_mut("credential")
        && let Some(text) = credential.as_str()
    {
        *credential = masked(text);
    }
    for token in details.get_mut("tokens").and_then(Value::as_array_mut).into_iter().flatten() {
        *token = masked(token.as_str().unwrap_or_default());
    }
    window.insert("details".to_owned(), details);
}

/// Lists and reasons, which the table has as text, become what they are; gives where its records stand.
fn unfold(finding: &mut Object, places: &mut Places<'_>) -> anyhow::Result<Value> {
    let id = text(finding, "finding_id").to_owned();
    let wrong = |what: &str| anyhow!("`{what}` of finding `{id}` is not as it was written");
    for column in ["devices", "detectors"] {
        let names: Vec<Value> =
            text(finding, column).split(',').filter(|name| !name.is_empty()).map(Value::from).collect();
        finding.insert(column.to_owned(), Value::Array(names));
    }
    let written: Value = serde_json::from_str(text(finding, "reasons")).map_err(|_| wrong("reasons"))?;
    let reasons: Vec<Reason> = serde_json::from_value(written.clone()).map_err(|_| wrong("reasons"))?;
    finding.insert("reasons".to_owned(), written);
    let of_reason = |reason: &Reason| {
        let records = reason.records.map(|(first, last)| (places.of(first), places.of(last)));
        serde_json::json!({
            "detector": reason.detector,
            "subject": reason.subject,
            "first": records.as_ref().map(|(first, _)| first),
            "last": records.as_ref().map(|(_, last)| last),
        })
    };
    let reasons: Vec<Value> = reasons.iter().map(of_reason).collect();
    Ok(serde_json::json!({ "finding_id": id, "reasons": reasons }))
}

/// The incident's own, or every one of a group.
fn devices(incident: &Object, findings: &[Object]) -> Vec<SmolStr> {
    let mut devices = BTreeSet::from([SmolStr::from(text(incident, "device_id"))]);
    for finding in findings {
        devices.insert(text(finding, "device_id").into());
        let named = finding.get("devices").and_then(Value::as_array).into_iter().flatten();
        devices.extend(named.filter_map(Value::as_str).map(SmolStr::from));
    }
    devices.into_iter().filter(|id| !id.is_empty()).collect()
}

/// What the findings were held against: rows of their type, and of no type, in their version.
fn baselines(rows: &dyn Excerpts, findings: &[Object]) -> anyhow::Result<Vec<Object>> {
    let mut asked = BTreeSet::new();
    for finding in findings {
        let version = finding.get("baseline_version").and_then(Value::as_u64).unwrap_or(0);
        let version = u32::try_from(version).context("a baseline version is larger than any")?;
        asked.extend((version > 0).then(|| (version, text(finding, "device_type").to_owned())));
    }
    let mut all: Vec<Object> = Vec::new();
    for (version, device_type) in &asked {
        let which = Which::Version { version: *version, device_type };
        for mut row in objects(rows, Table::Baselines, &which)? {
            if let Ok(body) = serde_json::from_str::<Value>(text(&row, "body")) {
                row.insert("body".to_owned(), body);
            }
            // The row of no type comes with each type.
            if !all.contains(&row) {
                all.push(row);
            }
        }
    }
    Ok(all)
}

/// Which playbooks decided, and what they say where that version is still at hand.
fn decided(journal: &Excerpted, folder: Option<&Path>) -> anyhow::Result<Vec<Value>> {
    let at_hand =
        playbooks::all(folder).inspect_err(|error| eprintln!("note: texts of playbooks are left out: {error}"));
    // A replay may have had them in another mode, which makes another version.
    let mut versions: BTreeMap<String, String> = BTreeMap::new();
    for playbook in at_hand.iter().flatten() {
        for mode in Mode::ALL {
            let playbook = Playbook { mode: *mode, ..playbook.clone() };
            versions.extend(playbook.to_toml().ok().map(|toml| (playbook.version(), toml)));
        }
    }
    let one = |(id, version): &(SmolStr, SmolStr)| {
        let toml = versions.get(version.as_str());
        serde_json::json!({ "playbook": id, "version": version, "toml": toml })
    };
    Ok(journal.playbooks.iter().map(one).collect())
}

fn objects(rows: &dyn Excerpts, table: Table, which: &Which<'_>) -> anyhow::Result<Vec<Object>> {
    let text = rows.excerpt(table, which, Format::Json)?;
    serde_json::from_slice(&text).with_context(|| format!("rows of `{}` cannot be read", table.name()))
}

/// A row a line: they are many.
fn lines(rows: &[Object]) -> anyhow::Result<String> {
    let rows = rows.iter().map(serde_json::to_string).collect::<Result<Vec<String>, _>>()?;
    Ok(format!("[\n{}\n]\n", rows.join(",\n")))
}

fn texts(objects: &[Object], column: &str) -> Vec<String> {
    objects.iter().map(|object| text(object, column).to_owned()).collect()
}

fn text<'o>(object: &'o Object, column: &str) -> &'o str {
    object.get(column).and_then(Value::as_str).unwrap_or_default()
}

fn time(object: &Object, column: &str) -> anyhow::Result<EventTime> {
    let written = text(object, column);
    EventTime::parse(written).with_context(|| format!("`{column}` is `{written}`, expected a time"))
}

fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn tokens_and_credentials_are_masked_and_equal_ones_stay_equal() {
        let details = r#"{"firmware":"1.2","credential":"hunter2","tokens":["s3cr3t","other","s3cr3t"]}"#;
        let mut window = object(serde_json::json!({ "device_id": "a", "details": details }));
        mask(&mut window);
        let said = serde_json::to_string(&window).unwrap();
        assert!(!said.contains("hunter2") && !said.contains("s3cr3t") && said.contains("1.2"), "{said}");
        let tokens = &window["details"]["tokens"];
        assert!(tokens[0] == tokens[2] && tokens[0] != tokens[1], "{tokens}");
        let mut plain = object(serde_json::json!({ "device_id": "a", "details": null }));
        mask(&mut plain);
        assert_eq!(plain["details"], Value::Null);
    }

    #[test]
    fn rows_are_a_line_each_and_json() {
        let rows = [object(serde_json::json!({ "a": 1 })), object(serde_json::json!({ "a": 2 }))];
        assert_eq!(lines(&rows).unwrap(), "[\n{\"a\":1},\n{\"a\":2}\n]\n");
        assert!(serde_json::from_str::<Vec<Value>>(&lines(&[]).unwrap()).unwrap().is_empty());
    }

    #[test]
    fn a_group_is_all_its_devices() {
        let incident = object(serde_json::json!({ "device_id": "" }));
        let finding = object(serde_json::json!({ "device_id": "", "devices": ["b", "a"] }));
        assert_eq!(devices(&incident, &[finding.clone(), finding]), ["a", "b"]);
        let one = object(serde_json::json!({ "device_id": "a" }));
        assert_eq!(devices(&one, &[]), ["a"]);
    }
}
