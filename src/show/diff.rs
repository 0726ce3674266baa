//! `diff A B`: what another setting or version changed: score cards side by side, then findings, incidents and actions
//! that are only in one of two stores, or differ.
//!
//! Two rows are the same by id, else by what they are about and when: another setting may move a finding by a window, and
//! so give it another id.

use std::path::PathBuf;

use clap::Args;
use datasets::scorecard::ScoreCard;
use datasets::scorecard::load::Stored;
use datasets::scorecard::text::{Table, duration, moment, wrap};
use fleet::{Action, EventTime, Finding, FindingKind, Incident, Scope};

use crate::cli::StoreArg;
use crate::show::{findings, open, say};

/// Rows without a common id are the same when about the same and no further apart.
const SAME_SECONDS: f64 = 3.0 * 3600.0;

#[derive(Args)]
pub struct DiffArgs {
    /// The folder a replay wrote
    #[arg(value_name = "A")]
    a: PathBuf,
    /// Another one
    #[arg(value_name = "B")]
    b: PathBuf,
}

pub fn run(args: &DiffArgs) -> anyhow::Result<()> {
    let a = open(&StoreArg { store: args.a.clone() })?;
    let b = open(&StoreArg { store: args.b.clone() })?;
    let mut out = format!("A: {}\nB: {}\n\n", args.a.display(), args.b.display());
    if a.run.dataset != b.run.dataset {
        out += &format!("These are different data sets: `{}` and `{}`.\n\n", a.run.dataset, b.run.dataset);
    }
    out += &cards(&a.score_card()?, &b.score_card()?);
    out += &section("Findings", rows::<Finding>(&a)?, rows::<Finding>(&b)?);
    out += &section("Incidents", rows::<Incident>(&a)?, rows::<Incident>(&b)?);
    out += &section("Actions", actions(&a)?, actions(&b)?);
    say(&out)
}

fn rows<Row: store::Row>(stored: &Stored) -> anyhow::Result<Vec<Row>> {
    Ok(stored.store.rows::<Row>()?)
}

/// Where they ended.
fn actions(stored: &Stored) -> anyhow::Result<Vec<Action>> {
    Ok(fleet::action::latest(&rows::<Action>(stored)?))
}

/// A row of one of the compared tables.
pub trait Comparable {
    fn id(&self) -> &str;
    fn time(&self) -> EventTime;
    /// Rows without a common id are the same only when this is: scope, kind, device.
    fn subject(&self) -> String;
    /// What it says, by name; differences are shown.
    fn says(&self) -> Vec<(&'static str, String)>;
}

impl Comparable for Finding {
    fn id(&self) -> &str {
        &self.finding_id
    }

    fn time(&self) -> EventTime {
        self.emitted_at
    }

    fn subject(&self) -> String {
        subject(self.kind, self.scope, &self.device_id, &self.device_type)
    }

    fn says(&self) -> Vec<(&'static str, String)> {
        let mut says = vec![
            ("severity", self.severity.to_string()),
            ("emitted", moment(self.emitted_at)),
            ("detectors", self.detectors.join(" ")),
        ];
        if self.scope != Scope::Device {
            says.push(("about", findings::about(self)));
        }
        says
    }
}

impl Comparable for Incident {
    fn id(&self) -> &str {
        &self.incident_id
    }

    fn time(&self) -> EventTime {
        self.opened_at
    }

    fn subject(&self) -> String {
        subject(self.kind, self.scope, &self.device_id, &self.device_type)
    }

    fn says(&self) -> Vec<(&'static str, String)> {
        vec![
            ("severity", self.severity.to_string()),
            ("opened", moment(self.opened_at)),
            ("closed", self.closed_at.map_or("open".to_string(), moment)),
            ("findings", self.findings.to_string()),
        ]
    }
}

impl Comparable for Action {
    fn id(&self) -> &str {
        &self.action_id
    }

    fn time(&self) -> EventTime {
        self.decided_at
    }

    fn subject(&self) -> String {
        format!("{} {}", self.level, self.device_id)
    }

    fn says(&self) -> Vec<(&'static str, String)> {
        vec![
            ("decision", self.outcome().to_owned()),
            ("decided", moment(self.decided_at)),
            ("reason", self.reason.clone()),
        ]
    }
}

fn subject(kind: FindingKind, scope: Scope, device_id: &str, device_type: &str) -> String {
    if scope == Scope::Device { format!("{kind} {device_id}") } else { format!("{kind} {scope} {device_type}") }
}

/// Indices into the two lists.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pairing {
    pub only_a: Vec<usize>,
    pub only_b: Vec<usize>,
    /// The same, and saying the same.
    pub equal: usize,
    /// The same, and saying something else.
    pub changed: Vec<(usize, usize)>,
}

/// By id first; what is left by subject, nearest in time first come.
pub fn pair<Row: Comparable>(a: &[Row], b: &[Row]) -> Pairing {
    let mut partners: Vec<Option<usize>> = vec![None; a.len()];
    let mut taken = vec![false; b.len()];
    let by_id: std::collections::BTreeMap<&str, usize> = b.iter().enumerate().map(|(at, row)| (row.id(), at)).collect();
    for (at, row) in a.iter().enumerate() {
        if let Some(other) = by_id.get(row.id()) {
            partners[at] = Some(*other);
            taken[*other] = true;
        }
    }
    for (at, row) in a.iter().enumerate() {
        if partners[at].is_some() {
            continue;
        }
        let subject = row.subject();
        let apart = |other: &Row| other.time().seconds_since(row.time()).abs();
        let alike = b.iter().enumerate().filter(|(other, candidate)| {
            !taken[*other] && candidate.subject() == subject && apart(candidate) <= SAME_SECONDS
        });
        if let Some((other, _)) = alike.min_by(|(_, x), (_, y)| apart(x).total_cmp(&apart(y))) {
            partners[at] = Some(other);
            taken[other] = true;
        }
    }
    let mut pairing = Pairing::default();
    for (at, partner) in partners.iter().enumerate() {
        match partner {
            None => pairing.only_a.push(at),
            Some(other) if a[at].says() == b[*other].says() => pairing.equal += 1,
            Some(other) => pairing.changed.push((at, *other)),
        }
    }
    pairing.only_b = (0..b.len()).filter(|other| !taken[*other]).collect();
    pairing
}

/// One kind of row, compared; both lists are put in the order of time.
pub fn section<Row: Comparable>(name: &str, mut a: Vec<Row>, mut b: Vec<Row>) -> String {
    a.sort_by(|x, y| (x.time(), x.id()).cmp(&(y.time(), y.id())));
    b.sort_by(|x, y| (x.time(), x.id()).cmp(&(y.time(), y.id())));
    let pairing = pair(&a, &b);
    let mut out = format!(
        "\n{name}: {} in A, {} in B; {} equal, {} changed, {} only in A, {} only in B\n",
        a.len(),
        b.len(),
        pairing.equal,
        pairing.changed.len(),
        pairing.only_a.len(),
        pairing.only_b.len()
    );
    let mut table = Table::new(&["!", "!when (UTC)", "!id", "subject", "what"]);
    let mut row = |mark: &str, row: &Row, what: String| {
        table.row([mark.to_string(), moment(row.time()), row.id().to_string(), row.subject(), what]);
    };
    for at in &pairing.only_a {
        row("A only", &a[*at], told(&a[*at]));
    }
    for at in &pairing.only_b {
        row("B only", &b[*at], told(&b[*at]));
    }
    if !table.is_empty() {
        out += &table.render();
    }
    for (at, other) in &pairing.changed {
        let (before, after) = (&a[*at], &b[*other]);
        out += &wrap(&format!("changed {} {}: {}", before.id(), before.subject(), changes(before, after)), "");
    }
    out
}

/// All it says but the time, which has a column.
fn told<Row: Comparable>(row: &Row) -> String {
    let time = moment(row.time());
    let says = row.says().into_iter().filter(|(_, value)| *value != time);
    says.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

fn changes<Row: Comparable>(a: &Row, b: &Row) -> String {
    let pairs = a.says().into_iter().zip(b.says());
    let different = pairs.filter(|((_, before), (_, after))| before != after);
    different.map(|((name, before), (_, after))| format!("{name} {before} -> {after}")).collect::<Vec<_>>().join(", ")
}

/// The two score cards' sums, and the incidents that only one found or at another time.
pub fn cards(a: &ScoreCard, b: &ScoreCard) -> String {
    let time = |seconds: Option<f64>| seconds.map_or("-".to_string(), duration);
    let number = |value: Option<f64>| value.map_or("-".to_string(), |value| format!("{value:.3}"));
    let sums = |card: &ScoreCard| -> Vec<(&'static str, String)> {
        vec![
            ("version", card.version.clone()),
            ("budget", card.budget.to_string()),
            ("incidents found", format!("{} of {}", card.incidents_detected, card.incidents_total)),
            ("median time to detect", time(card.seconds_to_detect.p50)),
            ("95th percentile", time(card.seconds_to_detect.p95)),
            ("false incidents", card.false_incidents.to_string()),
            ("per 1,000 device-days", number(card.false_incidents_per_1000_device_days)),
            ("would quarantine, incident", card.would_quarantine.incident_devices.to_string()),
            ("would quarantine, benign", card.would_quarantine.benign_devices.to_string()),
            ("windows' ROC-AUC", number(card.window_roc_auc)),
            ("windows' average precision", number(card.window_average_precision)),
            ("readings", card.readings.to_string()),
            ("rejected", card.rejected.to_string()),
            ("late", card.late.to_string()),
        ]
    };
    let mut table = Table::new(&["score card", ">A", ">B", ""]);
    for ((name, left), (_, right)) in sums(a).into_iter().zip(sums(b)) {
        let mark = if left == right { "" } else { "<" };
        table.row([name.to_string(), left, right, mark.to_string()]);
    }
    let mut out = table.render();
    let mut moved = Table::new(&["incident", "device", ">A after", ">B after"]);
    for left in &a.incidents {
        let same = |right: &&datasets::scorecard::IncidentResult| right.name == left.name && right.start == left.start;
        let Some(right) = b.incidents.iter().find(same) else {
            continue;
        };
        if left.seconds_to_detect != right.seconds_to_detect {
            let after = |seconds: Option<f64>| seconds.map_or("missed".to_string(), duration);
            let device = left.device_id.first().cloned().unwrap_or_default();
            moved.row([left.name.clone(), device, after(left.seconds_to_detect), after(right.seconds_to_detect)]);
        }
    }
    if !moved.is_empty() {
        out += &format!("\n{}", moved.render());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Thing(&'static str, i64, &'static str, &'static str);

    impl Comparable for Thing {
        fn id(&self) -> &str {
            self.0
        }
        fn time(&self) -> EventTime {
            EventTime::default().plus_seconds(self.1)
        }
        fn subject(&self) -> String {
            self.2.to_string()
        }
        fn says(&self) -> Vec<(&'static str, String)> {
            vec![("severity", self.3.to_string()), ("at", self.1.to_string())]
        }
    }

    #[test]
    fn the_same_by_id_whatever_they_say() {
        let a = [Thing("x", 0, "led", "high"), Thing("y", 9, "led", "low")];
        let b = [Thing("y", 9, "led", "low"), Thing("x", 99_999, "plug", "low")];
        assert_eq!(pair(&a, &b), Pairing { only_a: vec![], only_b: vec![], equal: 1, changed: vec![(0, 1)] });
    }

    #[test]
    fn else_the_nearest_about_the_same_within_three_hours() {
        let a = [Thing("x", 10_000, "led", "high"), Thing("z", 0, "camera", "high")];
        let b = [
            Thing("p", 10_000 + 10_801, "led", "high"),
            Thing("q", 10_060, "led", "high"),
            Thing("r", 10_000, "plug", "high"),
        ];
        assert_eq!(pair(&a, &b), Pairing { only_a: vec![1], only_b: vec![0, 2], equal: 0, changed: vec![(0, 1)] });
        let far = [Thing("p", 10_000 + 10_801, "led", "high")];
        assert_eq!(pair(&a[..1], &far).only_b, [0]);
    }

    #[test]
    fn an_id_is_stronger_than_nearness_and_nobody_is_taken_twice() {
        let a = [Thing("x", 0, "led", "high"), Thing("y", 0, "led", "high")];
        let b = [Thing("y", 0, "led", "high")];
        assert_eq!(pair(&a, &b), Pairing { only_a: vec![0], only_b: vec![], equal: 1, changed: vec![] });
    }

    #[test]
    fn a_section_tells_what_changed() {
        let text = section(
            "Findings",
            vec![Thing("x", 0, "led", "high"), Thing("o", 60, "plug", "low")],
            vec![Thing("x", 0, "led", "low")],
        );
        assert!(text.contains("Findings: 2 in A, 1 in B; 0 equal, 1 changed, 1 only in A, 0 only in B"), "{text}");
        assert!(text.contains("changed x led: severity high -> low") && !text.contains("at 0 -> 0"), "{text}");
        assert!(text.contains("A only  1970-01-01 00:01:00  o"), "{text}");
    }
}
