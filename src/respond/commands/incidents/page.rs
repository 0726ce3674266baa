//! Incidents as a person reads them.

use std::path::Path;

use datasets::scorecard::text::{Table, counted, duration, minute, moment, wrap};
use fleet::{Action, Finding, Incident, Scope};
use responders::api::views::{Actions, IncidentDetail, IncidentStats, IncidentView, Incidents, Spread};

use crate::respond::commands::actions;
use crate::show::devices::decisions;
use crate::show::{command, findings, word};

const MORE: &str = "there are more; `--limit` says how many are shown\n";

pub fn of_store(incidents: &[Incident], more: bool) -> String {
    if incidents.is_empty() {
        return "no incidents\n".to_owned();
    }
    let mut table =
        Table::new(&["!incident", "!opened (UTC)", "!severity", "kind", "about", ">findings", "!closed (UTC)"]);
    for incident in incidents {
        table.row([
            incident.incident_id.clone(),
            moment(incident.opened_at),
            incident.severity.to_string(),
            incident.kind.to_string(),
            about(incident),
            incident.findings.to_string(),
            incident.closed_at.map_or_else(|| "open".to_owned(), moment),
        ]);
    }
    table.render() + if more { MORE } else { "" }
}

fn about(incident: &Incident) -> String {
    match incident.scope {
        Scope::Device => incident.device_id.to_string(),
        Scope::Fleet => format!("devices of {}", incident.device_type),
        Scope::Site => "devices of a site".to_owned(),
    }
}

pub fn full(incident: &Incident, found: &mut [Finding], done: &mut [Action], store: &Path) -> String {
    let closed = incident.closed_at.map_or_else(|| "still open".to_owned(), |at| format!("closed {}", moment(at)));
    let mut out = format!(
        "Incident {}: {}, {}\n\n  {}, opened {} UTC, {closed}\n  windows {} to {} UTC\n",
        incident.incident_id,
        incident.kind,
        incident.severity,
        about(incident),
        moment(incident.opened_at),
        moment(incident.first_window),
        moment(incident.last_window),
    );
    if let Some(last) = found.iter().max_by_key(|finding| finding.emitted_at) {
        out += &format!("\n{}", wrap(&last.explanation, "  "));
    }
    out += &format!("\n{}\n{}", counted(found.len() as u64, "finding"), findings::list(found));
    out += &format!("\n{}\n", counted(done.len() as u64, "action"));
    if !done.is_empty() {
        out += &decisions(done);
    }
    let bundle = format!("evidence {} --out {}", word(&incident.incident_id), "bundle.zip");
    out + &format!("\nAll of it in one file: {}\n", command(&bundle, store))
}

pub fn of_api(incidents: &Incidents) -> String {
    if incidents.incidents.is_empty() {
        return "no incidents\n".to_owned();
    }
    let mut table = Table::new(&[
        "!incident",
        "!opened (UTC)",
        "severity",
        "kind",
        "!about",
        ">findings",
        ">isolated in",
        "verdict",
        "!state",
    ]);
    for incident in &incidents.incidents {
        table.row([
            incident.incident_id.clone(),
            minute(incident.opened_at.0),
            incident.severity.to_string(),
            incident.kind.to_string(),
            about_view(incident),
            incident.findings.to_string(),
            seconds(incident.seconds_to_isolate),
            incident.verdict.map_or_else(|| "-".to_owned(), |verdict| verdict.to_string()),
            state(incident).to_owned(),
        ]);
    }
    table.render() + if incidents.next.is_some() { MORE } else { "" }
}

fn state(incident: &IncidentView) -> &'static str {
    if incident.kept_back > 0 && incident.kept_back >= incident.findings {
        return "kept back";
    }
    match incident.open {
        Some(true) => "open",
        Some(false) => "closed",
        None => "-",
    }
}

fn about_view(incident: &IncidentView) -> String {
    if incident.device_id.is_empty() {
        format!("devices of {}", incident.device_type)
    } else {
        incident.device_id.clone()
    }
}

pub fn detail(detail: &IncidentDetail) -> String {
    let incident = &detail.incident;
    let closed = match (incident.closed_at, incident.open) {
        (Some(at), _) => format!("closed {}", moment(at.0)),
        (None, Some(_)) => "still open".to_owned(),
        (None, None) => "still open or not, the store does not answer".to_owned(),
    };
    let verdict = incident.verdict.map_or_else(String::new, |verdict| format!(", called {verdict}"));
    let mut out = format!(
        "Incident {}: {}, {}{verdict}\n\n  {}, opened {} UTC, {closed}\n  found within {}, isolated within {}\n\n{}",
        incident.incident_id,
        incident.kind,
        incident.severity,
        about_view(incident),
        moment(incident.opened_at.0),
        seconds(incident.seconds_to_detect),
        seconds(incident.seconds_to_isolate),
        wrap(&detail.explanation, "  "),
    );
    let kept_back = match incident.kept_back {
        0 => String::new(),
        some => format!(", {some} kept back by a verdict"),
    };
    out += &format!("\n{}{kept_back}\n", counted(detail.finding_ids.len() as u64, "finding"));
    for id in &detail.finding_ids {
        out += &format!("  {id}\n");
    }
    out += &format!("\n{}\n", counted(detail.actions.len() as u64, "action"));
    if !detail.actions.is_empty() {
        out += &actions::list(&Actions { actions: detail.actions.clone(), next: None });
    }
    out
}

pub fn stats(stats: &IncidentStats) -> String {
    let mut table = Table::new(&["time", ">actions", ">median", ">p95", "from, to"]);
    for (name, spread, what) in [
        ("to detect", stats.detect, "the incident's first window, the finding"),
        ("to decide", stats.decide, "the finding, the approval"),
        ("to apply", stats.apply, "the proposal, the gateway's first answer"),
        ("to isolate", stats.isolate, "the proposal, read back from the gateway"),
        ("to quiet", stats.quiet, "the proposal, the device's silence in telemetry"),
    ] {
        let Spread { count, p50, p95 } = spread;
        table.row([name.to_owned(), count.to_string(), seconds(p50), seconds(p95), what.to_owned()]);
    }
    let isolated =
        format!("{}, of {} the device was kept away\n\n", counted(stats.incidents, "incident"), stats.isolated);
    isolated + &table.render()
}

/// Below a minute with tenths: isolating takes seconds.
pub fn seconds(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds < 60.0 => format!("{seconds:.1} s"),
        Some(seconds) => duration(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::{EventTime, FindingKind, Severity};
    use responders::api::command::Verdict;
    use responders::rights::Moment;

    fn incident(id: &str) -> Incident {
        Incident {
            incident_id: id.into(),
            scope: Scope::Device,
            device_id: "lamp-1".into(),
            device_type: "lamp".into(),
            kind: FindingKind::Compromise,
            severity: Severity::High,
            opened_at: EventTime(60_000_000),
            closed_at: None,
            first_window: EventTime(0),
            last_window: EventTime(60_000_000),
            findings: 2,
        }
    }

    #[test]
    fn a_list_of_a_store() {
        let text = of_store(&[incident("i1")], true);
        assert!(text.contains("lamp-1") && text.contains("open") && text.ends_with(MORE), "{text}");
        assert_eq!(of_store(&[], false), "no incidents\n");
    }

    #[test]
    fn one_of_a_store_says_how_to_bundle_it() {
        let text = full(&incident("i 1"), &mut [], &mut [], Path::new("out/store"));
        assert!(text.contains("evidence 'i 1' --out bundle.zip --store out/store"), "{text}");
        assert!(text.contains("0 findings") && text.contains("0 actions"), "{text}");
    }

    #[test]
    fn through_the_api() {
        let view = IncidentView {
            incident_id: "i1".into(),
            device_id: String::new(),
            device_type: "lamp".into(),
            site: None,
            kind: FindingKind::Compromise,
            severity: Severity::High,
            opened_at: Moment(EventTime(0)),
            open: Some(true),
            closed_at: None,
            findings: 2,
            kept_back: 1,
            seconds_to_detect: Some(125.0),
            seconds_to_isolate: Some(1.23),
            verdict: Some(Verdict::True),
        };
        let text = of_api(&Incidents { incidents: vec![view.clone()], next: None });
        assert!(text.contains("devices of lamp") && text.contains("1.2 s") && text.contains("true"), "{text}");
        let hidden = IncidentView { kept_back: 2, ..view.clone() };
        assert!(of_api(&Incidents { incidents: vec![hidden], next: None }).contains("kept back"));
        assert!(text.trim_end().ends_with("open"), "{text}");
        let closed = IncidentView { open: Some(false), closed_at: Some(Moment(EventTime(9))), ..view.clone() };
        assert!(of_api(&Incidents { incidents: vec![closed], next: None }).trim_end().ends_with("closed"));
        let unknown = IncidentView { open: None, ..view.clone() };
        assert!(of_api(&Incidents { incidents: vec![unknown], next: None }).trim_end().ends_with('-'));
        let one = IncidentDetail {
            incident: view,
            explanation: "it calls home".into(),
            finding_ids: vec!["f1".into()],
            actions: vec![],
        };
        let text = detail(&one);
        for part in [
            "called true",
            "found within 2:05, isolated within 1.2 s",
            "it calls home",
            "1 finding, 1 kept back by a verdict\n  f1\n",
            "0 actions",
        ] {
            assert!(text.contains(part), "no `{part}` in\n{text}");
        }
        let told = stats(&IncidentStats { incidents: 3, isolated: 2, ..IncidentStats::default() });
        assert!(told.starts_with("3 incidents, of 2 the device was kept away"), "{told}");
    }
}
