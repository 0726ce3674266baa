//! A gateway of one's own over Kafka, from findings to releases: the demo's compromised devices are quarantined through a program
//! that was away, forgets to answer, answers late, fails, and is not alone at its switch.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::own_gateway::{ANSWERS, CALLS, Fault, OwnGateway, SOMEBODY, TIME_LIMIT};
use crate::cases::stream::all_of;
use crate::kafka::{Broker, are_there};
use crate::one_truth::{prepare, replayed_demo, site_named};
use crate::vedette::{Feed, Service, get, query, text, until, vedette};

const SIEM: &str = "own.siem";
const PLAYBOOK: &str = "id = \"isolate\"\ntitle = \"A compromise is quarantined\"\nmode = \"auto\"\n\
    when = \"kind = 'compromise' and scope = 'device' and confidence <> 'learning'\"\n\n\
    [[step]]\nlevel = \"quarantine\"\nttl = \"30s\"\n";

#[test]
fn over_topics_a_gateway_of_ones_own_is_told_asked_and_believed() {
    if !are_there("a gateway of one's own over Kafka") {
        return;
    }
    let replayed = replayed_demo();
    let broker = Broker::start(&[]);
    let site = site_named(&broker, replayed, 2, "own");
    configure(&site.config, site.folder.path());
    prepare(&site, replayed, 2);
    let mut service = Service::start(&site.config, "route,judge,act", &site.folder.path().join("log"), &site.admin);
    let demo = replayed.data("demo.toml");
    let arguments = [text(&demo), "--brokers", &broker.bootstrap, "--topic", "own.raw", "--speed", "0", "--quiet"];
    let feed = Feed::start(&arguments);
    // It is away until a call was given up: what stands in the topic then it must not carry out.
    wait_for_a_call(&broker.bootstrap, &mut service);
    std::thread::sleep(Duration::from_secs(TIME_LIMIT + 1));
    let gateway = OwnGateway::start(&broker.bootstrap);
    feed.join();
    service.wait_closed(2, replayed.through, Duration::from_secs(240));
    let store = site.folder.path().join("store");
    until(&mut service, "all quarantines to have ended", |_| {
        let last: BTreeMap<String, Value> =
            of_quarantines(&store).into_iter().map(|row| (row["action_id"].to_string(), row)).collect();
        last.len() >= 5 && last.values().all(|row| ["released", "refused", "failed"].iter().any(|state| is(row, state)))
    });
    let rows = of_quarantines(&store);
    demand_measured(&site.admin, &rows);
    service.stop();
    demand_checked(&site.config);
    demand_told_alike(&site.folder.path().join("events.jsonl"), &broker.bootstrap);
    demand_carried_out_once(&gateway, &rows);
    demand_each_fault_mended(&gateway, &rows);
}

fn configure(config: &Path, folder: &Path) {
    std::fs::create_dir(folder.join("playbooks")).expect("a folder is made");
    std::fs::write(folder.join("playbooks/isolate.toml"), PLAYBOOK).expect("the playbook is written");
    let toml = std::fs::read_to_string(config).expect("the site has a configuration");
    let section = "[responders]\nmax_age_seconds = 0\n";
    assert!(toml.contains(section), "{toml}");
    let acting = format!("{section}mode = \"auto\"\nplaybooks = \"playbooks\"\nrecheck_seconds = 1\n");
    let more = format!(
        "[responders.caps]\ntype_devices = 100\nsite_devices = 100\nhour_devices = 100\nfleet_share = 1.0\n\
         [[responders.tell]]\nkind = \"file\"\nname = \"events\"\npath = \"{}\"\n\
         [[responders.tell]]\nkind = \"kafka\"\nname = \"siem\"\ntopic = \"{SIEM}\"\n\
         [gateways.own]\nkind = \"kafka\"\ncalls = \"{CALLS}\"\nanswers = \"{ANSWERS}\"\ntime_limit_seconds = {TIME_LIMIT}\n\
         abilities = [{{ level = \"quarantine\", keys = [\"thing\"], cuts_sessions = true }}]\n",
        text(&folder.join("events.jsonl"))
    );
    std::fs::write(config, toml.replace(section, &acting) + &more).expect("the configuration is written");
}

fn wait_for_a_call(bootstrap: &str, service: &mut Service) {
    let end = Instant::now() + Duration::from_secs(240);
    while all_of(bootstrap, CALLS, 0).is_empty() {
        assert!(service.is_running() && Instant::now() < end, "nobody was called:\n{}", service.said());
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// In the order of the journal.
fn of_quarantines(store: &Path) -> Vec<Value> {
    let sql = "select action_id, device_id, state, note, reason, gateway from actions where level = 'quarantine' order by seq";
    query(store, sql)
}

fn is(row: &Value, state: &str) -> bool {
    row["state"] == state
}

fn demand_checked(config: &Path) {
    let output = vedette(&["check", "--config", text(config)]);
    let words = String::from_utf8_lossy(&output.stdout);
    for fine in [
        "ok     gateway `own`",
        "topic `own.calls` (calls)",
        "topic `own.answers` (answers)",
        "topic `own.siem` (events)",
        "group `own-respond`",
    ] {
        assert!(words.contains(fine), "`{fine}`:\n{words}");
    }
}

fn demand_measured(admin: &str, rows: &[Value]) {
    let page = get(admin, "/metrics").expect("the admin listener answers");
    let sum = |name: &str, label: &str| {
        let of_name = page.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
        let values: Vec<f64> = of_name.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        assert!(!values.is_empty(), "`{name}` with `{label}`:\n{page}");
        values.iter().sum::<f64>()
    };
    let first_verified: BTreeSet<&str> =
        rows.iter().filter(|row| is(row, "verified")).filter_map(|row| row["action_id"].as_str()).collect();
    let of_own = "gateway=\"own\"";
    assert_eq!(sum("vedette_isolation_seconds_count", of_own), first_verified.len() as f64, "{page}");
    let released = rows.iter().filter(|row| is(row, "released") && row["note"] == "").count();
    let counted = page.lines().filter(|line| line.starts_with("vedette_actions_total{") && line.contains("quarantine"));
    let counted = counted.filter(|line| line.contains("state=\"released\"") && line.contains(of_own));
    let counted: f64 = counted.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
    assert_eq!(counted, released as f64, "{page}");
    assert_eq!(sum("vedette_gateway_left_alone", of_own), 0.0, "it has answered since");
    assert!(sum("vedette_tell_queued", "sink=\"events\"") >= 0.0);
    assert_eq!(sum("vedette_tell_lost_total", "sink=\"events\""), 0.0);
}

/// What a file was told, a topic was, in the same order.
fn demand_told_alike(file: &Path, bootstrap: &str) {
    let uid = |text: &str| {
        let event: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        event["metadata"]["uid"].as_str().expect("a uid").to_owned()
    };
    let written: Vec<String> = std::fs::read_to_string(file).expect("the file").lines().map(uid).collect();
    let told: Vec<String> =
        all_of(bootstrap, SIEM, 0).iter().map(|record| uid(record.value.as_deref().expect("a value"))).collect();
    assert!(written.len() >= 15, "findings, incidents and actions: {written:?}");
    assert_eq!(told, written);
    let text = std::fs::read_to_string(file).expect("the file");
    let is_named = |event: &Value| event["device"]["ip"].is_string() || event["device"]["mac"].is_string();
    for class in [2004, 7001] {
        let of_class = |event: &Value| event["class_uid"] == class;
        let mut events = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        assert!(events.any(|event| of_class(&event) && is_named(&event)), "no address in any event of class {class}");
    }
}

fn demand_carried_out_once(gateway: &OwnGateway, rows: &[Value]) {
    let verified: BTreeSet<&str> =
        rows.iter().filter(|row| is(row, "verified")).filter_map(|row| row["action_id"].as_str()).collect();
    assert!(verified.len() >= 5, "{rows:#?}");
    for id in verified {
        let (calls, entries) = gateway.look(|kept| kept.applied[id]);
        assert_eq!(entries, 1, "`{id}` was called for {calls} times");
    }
    gateway.look(|kept| {
        assert!(kept.passed_over >= 1, "the calls of before it began");
        for call in ["apply", "read_back", "undo", "probe"] {
            assert!(kept.calls.contains(call), "{:?}", kept.calls);
        }
        let left: Vec<&String> = kept.held.values().collect();
        assert_eq!(left, [SOMEBODY], "ours are all taken back, and nobody else's");
    });
}

fn demand_each_fault_mended(gateway: &OwnGateway, rows: &[Value]) {
    let of = |fault: Fault| {
        let id = gateway.look(|kept| kept.faults[&fault].clone());
        let of_it: Vec<&Value> = rows.iter().filter(|row| row["action_id"] == id.as_str()).collect();
        let words = |row: &&Value| format!("{} {}: {}", row["state"], row["note"], row["reason"]);
        of_it.iter().map(words).collect::<Vec<String>>()
    };
    for (fault, words) in [
        (Fault::Forgotten, &["nobody answered on `own.answers` in time", "the gateway held it already"][..]),
        (Fault::Late, &["nobody answered on `own.answers` in time", "the gateway held it already"]),
        (Fault::Failed, &["the receiver says: the switch is rebooting", "the gateway took it"]),
        (Fault::Taken, &["somebody else restricts it; ours is given up"]),
    ] {
        let told = of(fault);
        for words in words {
            assert!(told.iter().any(|row| row.contains(words)), "{fault:?}: `{words}` in {told:#?}");
        }
        assert!(told.iter().all(|row| !row.contains("this is not yours")), "{told:#?}");
        assert!(told.last().is_some_and(|row| row.starts_with("\"released\"")), "{fault:?}: {told:#?}");
    }
}
