//! OCSF: what is built is valid, what is broken is called so, and the fields say what they should.

use fleet::{Level, Mode, Severity, State};
use responders::tell::ocsf::{
    Activity, Case, FindingName, Status, attack, detection, incident, note, remediation, shrink,
};
use responders::tell::{Names, Reporter, Verdict};
use serde_json::{Value, json};

use crate::sample::{any_finding, at, change, device, finding, names, one};
use crate::validator::faults;

fn valid(event: &Value) {
    assert_eq!(faults(event), Vec::<String>::new(), "{event:#}");
}

fn reporter() -> Reporter {
    Reporter { tenant: "acme".to_owned(), ..Reporter::default() }
}

fn case(finding: &fleet::Finding) -> (fleet::Incident, Vec<FindingName>) {
    (crate::sample::incident(finding), vec![FindingName::of(finding)])
}

#[test]
fn every_finding_makes_a_valid_event() {
    for seed in 0..600 {
        let finding = any_finding(seed);
        let known = device(&finding.device_id);
        let names = one(seed, "names", &[Names::new(), names()]);
        let event = detection(&reporter(), &finding, one(seed, "device?", &[None, Some(&known)]), &names);
        valid(&event);
        assert_eq!(event, detection(&reporter(), &finding, one(seed, "device?", &[None, Some(&known)]), &names));
    }
}

#[test]
fn every_incident_makes_a_valid_event() {
    for seed in 0..400 {
        let finding = any_finding(seed);
        let (about, list) = case(&finding);
        let case = Case {
            incident: &about,
            findings: if seed % 3 == 0 { &[] } else { &list },
            confidence: one(seed, "sure", &[None, Some(finding.confidence)]),
            criticality: one(seed, "criticality", &[None, Some(fleet::Criticality::Critical)]),
            owner: one(seed, "owner", &["", "building services"]),
            desc: &finding.explanation,
            verdict: one(
                seed,
                "verdict",
                &[None, Some(Verdict::Fault), Some(Verdict::True), Some(Verdict::BenignChange)],
            ),
        };
        let activity = one(seed, "activity", &[Activity::Create, Activity::Update, Activity::Close]);
        let statuses = [Status::New, Status::InProgress, Status::OnHold, Status::Resolved, Status::Closed];
        valid(&incident(&reporter(), &case, activity, one(seed, "status", &statuses), at(5)));
    }
}

#[test]
fn every_change_makes_a_valid_event() {
    let mut froms = vec![None];
    froms.extend(State::ALL.iter().copied().map(Some));
    for level in Level::ALL {
        for from in &froms {
            for to in State::ALL {
                for mode in Mode::ALL {
                    let mut change = change("a1", "i1", *from, *to, *mode);
                    change.level = *level;
                    valid(&remediation(&reporter(), &change, Severity::High, None, &Names::new()));
                    change.reason.clear();
                    change.gateway = Default::default();
                    change.expires_at = None;
                    valid(&remediation(&reporter(), &change, Severity::Info, Some(&device("camera-01")), &names()));
                }
            }
        }
    }
}

#[test]
fn notes_are_base_events() {
    let event =
        note(&reporter(), "Digest", &["siem", "k"], at(0), Severity::Low, "37 incidents", json!({ "messages": 37 }));
    valid(&event);
    assert_eq!((&event["class_uid"], &event["type_uid"]), (&json!(0), &json!(99)));
}

#[test]
fn a_finding_says_what_was_seen_against_what_was_expected() {
    let finding = finding("camera-01", "i1", Severity::High);
    let event = detection(&reporter(), &finding, Some(&device("camera-01")), &names());
    assert_eq!(event["type_uid"], 200_401);
    assert_eq!(event["time"], 1_767_225_600_000_i64);
    assert_eq!(
        (&event["severity_id"], &event["confidence_id"], &event["is_alert"]),
        (&json!(4), &json!(3), &json!(true))
    );
    assert_eq!(event["metadata"]["correlation_uid"], "i1");
    assert_eq!(event["metadata"]["tenant_uid"], "acme");
    assert_eq!(event["finding_info"]["uid"], finding.finding_id);
    assert_eq!(event["finding_info"]["title"], "High compromise: camera-01 (dome_camera)");
    let attack = &event["finding_info"]["attacks"];
    assert_eq!(attack.as_array().map(Vec::len), Some(1), "the same technique is named once");
    assert_eq!(attack[0]["technique"]["name"], "Exfiltration Over C2 Channel");
    assert_eq!(attack[0]["tactic"]["uid"], "TA0010");
    let analysis = &event["anomaly_analyses"][0];
    assert_eq!(analysis["anomalies"][0]["observations"][0]["value"], finding.reasons[0].observed);
    assert_eq!(analysis["anomalies"][0]["observed_pattern"], "UNSEEN");
    assert_eq!(analysis["baselines"][0]["observations"][0]["value"], "https to cloud.example and 2 others");
    assert_eq!(event["evidences"][0]["dst_endpoint"]["ip"], "203.0.113.9");
    assert_eq!(event["evidences"][0]["data"]["last_record"]["offset"], 12);
    let device = &event["device"];
    assert_eq!(
        (&device["type_id"], &device["ip"], &device["zone"]),
        (&json!(7), &json!("192.168.10.11"), &json!("video"))
    );
    let values: Vec<&str> =
        event["observables"].as_array().into_iter().flatten().filter_map(|it| it["value"].as_str()).collect();
    assert_eq!(values, ["camera-01", "192.168.10.11", "54:ef:44:a0:00:01", "203.0.113.9"]);
}

#[test]
fn a_sub_technique_stands_beside_its_technique() {
    let attack = attack("T1110.001").unwrap();
    assert_eq!(attack["technique"], json!({ "uid": "T1110", "name": "Brute Force" }));
    assert_eq!(attack["sub_technique"], json!({ "uid": "T1110.001", "name": "Password Guessing" }));
    assert_eq!(attack["tactic"]["name"], "Credential Access");
}

/// A detector's new technique must get its name here, or SIEMs would show a number.
#[test]
fn every_technique_that_detectors_name_has_a_name() {
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../detect/src")];
    let mut named = std::collections::BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '.'));
            let is_one = |word: &&str| {
                let word = word.as_bytes();
                (word.len() == 5 || word.len() == 9) && word[0] == b'T' && word[1..5].iter().all(u8::is_ascii_digit)
            };
            named.extend(words.filter(is_one).map(str::to_owned));
        }
    }
    assert!(named.len() >= 30, "{named:?}");
    for technique in named {
        let attack = attack(&technique).unwrap();
        assert!(attack["technique"]["name"].is_string() && attack["tactic"].is_object(), "{technique} has no name");
    }
}

#[test]
fn an_action_says_what_is_done_and_how_it_went() {
    let event = |level, from, to, mode| {
        let mut change = change("a1", "i1", from, to, mode);
        change.level = level;
        remediation(&reporter(), &change, Severity::High, None, &Names::new())
    };
    use State::{Applied, Applying, Failed, Proposed, Released, Releasing, Verified};
    let verified = event(Level::Quarantine, Some(Applied), Verified, Mode::Auto);
    assert_eq!((&verified["type_uid"], &verified["status_id"]), (&json!(700_101), &json!(1)));
    assert_eq!(verified["command_uid"], "a1:applied-verified");
    assert_eq!(verified["countermeasures"][0]["d3f_technique"]["uid"], "D3-NI");
    assert_eq!(verified["metadata"]["correlation_uid"], "i1");
    // That a gateway took it is no success yet.
    assert_eq!(event(Level::Quarantine, Some(Applying), Applied, Mode::Auto)["status_id"], 4);
    assert_eq!(event(Level::Quarantine, Some(Applying), Failed, Mode::Auto)["status_id"], 2);
    let released = event(Level::Quarantine, Some(Releasing), Released, Mode::Auto);
    assert_eq!((&released["type_uid"], &released["status_id"]), (&json!(700_103), &json!(1)));
    // What could not be taken back was a try to restore, not to isolate.
    assert_eq!(event(Level::Quarantine, Some(Releasing), Failed, Mode::Auto)["type_uid"], 700_103);
    assert_eq!(event(Level::Disable, Some(Applied), Verified, Mode::Auto)["type_uid"], 700_102);
    assert_eq!(event(Level::RotateCredentials, Some(Applied), Verified, Mode::Auto)["type_uid"], 700_104);
    assert_eq!(event(Level::Notify, None, Proposed, Mode::Auto)["type_uid"], 700_199);
    // A dry run never looks like a deed.
    let dry = event(Level::Quarantine, None, Proposed, Mode::Observe);
    assert_eq!((&dry["status_id"], &dry["status"]), (&json!(99), &json!("Would act")));
}

#[test]
fn uids_are_one_for_each_change() {
    let finding = finding("camera-01", "i1", Severity::High);
    let (mut about, list) = case(&finding);
    let uid = |about: &fleet::Incident, activity, verdict| {
        let case = Case {
            incident: about,
            findings: &list,
            confidence: None,
            criticality: None,
            owner: "",
            desc: "d",
            verdict,
        };
        incident(&reporter(), &case, activity, Status::New, at(0))["metadata"]["uid"].clone()
    };
    let created = uid(&about, Activity::Create, None);
    assert_eq!(created, uid(&about, Activity::Create, None));
    assert_ne!(created, uid(&about, Activity::Close, None));
    assert_ne!(uid(&about, Activity::Update, None), uid(&about, Activity::Update, Some(Verdict::False)));
    about.severity = Severity::Critical;
    assert_ne!(created, uid(&about, Activity::Create, None));
    let one = change("a1", "i1", None, State::Proposed, Mode::Auto);
    let later = responders::tell::Change { seq: 42, ..one.clone() };
    let uid = |change| remediation(&reporter(), change, Severity::High, None, &Names::new())["metadata"]["uid"].clone();
    assert_eq!(uid(&one), uid(&one));
    assert_ne!(uid(&one), uid(&later));
}

#[test]
fn what_is_made_smaller_stays_valid() {
    for seed in 0..50 {
        let mut event = detection(&reporter(), &any_finding(seed), None, &names());
        let mut size = event.to_string().len();
        while shrink(&mut event) {
            valid(&event);
            assert!(event.to_string().len() < size, "it did not become smaller");
            size = event.to_string().len();
        }
        assert!(size < 2600, "{size}: {event}");
    }
}

/// Takes a valid event, breaks it, and wants it called broken.
fn broken(event: &Value, how: impl Fn(&mut Value)) {
    let mut event = event.clone();
    valid(&event);
    how(&mut event);
    assert!(!faults(&event).is_empty(), "the validator took {event:#}");
}

fn without(event: &mut Value, pointer: &str) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let removed = event.pointer_mut(parent).and_then(Value::as_object_mut).and_then(|fields| fields.remove(name));
    assert!(removed.is_some(), "{pointer}");
}

#[test]
fn the_validator_refuses_what_is_broken() {
    let finding = finding("camera-01", "i1", Severity::High);
    let found = detection(&reporter(), &finding, Some(&device("camera-01")), &names());
    for field in [
        "/activity_id",
        "/category_uid",
        "/class_uid",
        "/type_uid",
        "/time",
        "/severity_id",
        "/metadata",
        "/finding_info",
        "/metadata/version",
        "/metadata/product",
        "/finding_info/uid",
        "/device/type_id",
        "/metadata/profiles",
        "/anomaly_analyses/0/anomalies",
        "/anomaly_analyses/0/analysis_targets",
        "/finding_info/analytic/type_id",
        "/anomaly_analyses/0/anomalies/0/observation_parameter",
        "/anomaly_analyses/0/anomalies/0/observations/0/value",
        "/observables/0/name",
        "/observables/0/type_id",
    ] {
        broken(&found, |event| without(event, field));
    }
    broken(&found, |event| event["time"] = 1_767_225_600.into());
    broken(&found, |event| event["time"] = "2026-01-01T00:00:00Z".into());
    broken(&found, |event| event["type_uid"] = 200_402.into());
    broken(&found, |event| event["class_uid"] = 2001.into());
    broken(&found, |event| event["category_uid"] = 7.into());
    broken(&found, |event| event["severity_id"] = 7.into());
    broken(&found, |event| event["severity_id"] = "High".into());
    broken(&found, |event| event["confidence_id"] = 4.into());
    broken(&found, |event| event["status_id"] = 7.into());
    broken(&found, |event| event["is_alert"] = 1.into());
    broken(&found, |event| event["finding_info"]["title"] = "".into());
    broken(&found, |event| event["finding_info"]["attacks"][0] = json!({ "version": "17.0" }));
    broken(&found, |event| event["evidences"][0] = json!({ "name": "contacts" }));
    broken(&found, |event| event["payload"] = "x".into());
    broken(&found, |event| event["metadata"]["version"] = "1.1.0".into());
    broken(&found, |event| event["observables"] = json!([]));
    broken(&found, |event| event["start_time"] = 1_799_999_999_999_i64.into());
    let (about, list) = case(&finding);
    let case = Case {
        incident: &about,
        findings: &list,
        confidence: None,
        criticality: None,
        owner: "",
        desc: "d",
        verdict: Some(Verdict::True),
    };
    let opened = incident(&reporter(), &case, Activity::Create, Status::New, at(0));
    for field in ["/finding_info_list", "/status_id", "/assignee_group", "/finding_info_list/0/uid"] {
        broken(&opened, |event| without(event, field));
    }
    broken(&opened, |event| event["verdict_id"] = 11.into());
    broken(&opened, |event| event["status_id"] = 6.into());
    broken(&opened, |event| event["finding_info_list"] = json!([]));
    let done = remediation(
        &reporter(),
        &change("a1", "i1", Some(State::Applied), State::Verified, Mode::Auto),
        Severity::High,
        None,
        &Names::new(),
    );
    broken(&done, |event| without(event, "/command_uid"));
    broken(&done, |event| event["status_id"] = 7.into());
    broken(&done, |event| event["activity_id"] = 5.into());
    broken(&done, |event| event["countermeasures"] = json!([{ "version": "1.0.0" }]));
    broken(&done, |event| event["device"] = json!({ "type_id": 7 }));
}
