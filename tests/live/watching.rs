//! The service as it is watched: traces, metrics and logs at a collector, metrics and readiness at the admin listener.

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::Span;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;

use super::breakage::records::{Bench, Options, Sender, message, now};
use super::collector::{Collector, Received, attribute};
use super::engine::{Engine, with_engine};
use super::kafka::{Broker, are_there};
use super::one_truth::{prepare, replayed_demo, site};
use super::vedette::{Service, get, query, succeed, text, until};

#[test]
fn a_run_is_seen_at_the_collector_and_at_the_admin_listener() {
    if !are_there("what a run is watched by") {
        return;
    }
    let replayed = replayed_demo();
    let broker = Broker::start(&[]);
    let collector = Collector::start();
    let site = site(&broker, replayed, 2);
    append(&site.config, &format!("[telemetry]\notlp_endpoint = \"{}\"\ninterval_seconds = 1\n", collector.endpoint));
    prepare(&site, replayed, 2);
    spoil(&broker.bootstrap);
    let mut service = Service::start(&site.config, "route,judge,act", &site.folder.path().join("log"), &site.admin);
    let demo = replayed.data("demo.toml");
    succeed(&["feed", text(&demo), "--brokers", &broker.bootstrap, "--speed", "0", "--quiet"]);
    service.wait_closed(2, replayed.through, Duration::from_secs(240));
    until(&mut service, "an action", |service| metric(&service.admin, "vedette_actions_total").is_some());

    let page = get(&site.admin, "/metrics").expect("the admin listener answers");
    let store = site.folder.path().join("store");
    demand_metrics(&page);
    let readiness = service.readiness().expect("the admin listener answers");
    assert_eq!(readiness["store"]["ready"], true, "{readiness:#}");
    let roles = readiness["roles"].as_array().expect("roles");
    let ready: Vec<&str> =
        roles.iter().filter(|role| role["ready"] == true).filter_map(|it| it["role"].as_str()).collect();
    assert_eq!(ready, ["route", "judge", "act"], "{readiness:#}");
    for lane in readiness["lanes"].as_array().expect("lanes") {
        assert!(lane["behind_seconds"].as_f64().is_some_and(|age| age < 60.0), "{readiness:#}");
        assert!(lane["seconds_since_commit"].as_f64().is_some(), "{readiness:#}");
    }
    assert_eq!(get(&site.admin, "/healthz").as_deref(), Some("alive\n"));
    demand_on_loopback_only(&site.admin);
    // What was not sent yet is sent when it ends, for 2 s at most: on a busy machine that is not enough for many spans.
    until(&mut service, "the traces of all windows", |service| {
        let told = windows_told(&collector.received()) as f64;
        metric(&service.admin, "vedette_windows_total").is_some_and(|counted| counted <= told)
    });
    service.stop();
    let received = collector.received();
    assert_eq!(received.services, BTreeSet::from(["vedette".to_owned()]));
    assert_eq!(received.instances.len(), 1, "{:?}", received.instances);
    demand_sent_metrics(&received);
    demand_logs(&received);
    demand_traces(&received, &store);
}

/// Not ready while the store is away, and ready again afterwards; what was to be stored is stored.
#[test]
fn a_store_that_is_away_is_seen_and_so_is_its_return() {
    if !are_there("readiness without a store") {
        return;
    }
    let broker = Broker::start(&[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = Engine::start(folder.path());
    let collector = Collector::start();
    let bench = Bench::new(
        &broker,
        &Options {
            inventory: "pump-1,pump,pump-1",
            raw_partitions: 1,
            lanes: 1,
            window_seconds: 60,
            lateness_seconds: 60,
            live: false,
            memory_seconds: 2,
            store: None,
        },
    );
    let toml = std::fs::read_to_string(&bench.config).expect("there is a configuration");
    std::fs::write(&bench.config, with_engine(&toml, bench.folder.path(), &engine)).expect("it is written");
    append(&bench.config, &format!("[telemetry]\notlp_endpoint = \"{}\"\ninterval_seconds = 1\n", collector.endpoint));
    let mut service = Service::start(&bench.config, "route,judge,act", &bench.log(), &bench.admin);
    wait_ready(&mut service, true, |readiness| readiness["lanes"].as_array().is_some_and(|lanes| lanes.len() == 1));
    // The journal's mirror waits for nothing any more: one line a minute tells of all who wait for the store.
    let noted = "SELECT count() AS notes FROM lane_memory WHERE position(who, 'journal-') > 0";
    until(&mut service, "the journal to be mirrored", |_| engine.query(noted)[0]["notes"].as_i64() >= Some(1));
    // Inserts alone, as on a full disk: questions are answered.
    engine.fault("500@insert");
    let begin = (now() as i64 - 6 * 3_600) / 60 * 60;
    let sender = Sender::new(&broker);
    (0..600).for_each(|second| sender.send(0, message("pump-1", (begin + second) as f64).as_bytes()));
    sender.heartbeat(0, begin + 900);
    sender.flush();
    service.wait_until_said("cannot store a step", Duration::from_secs(60));
    let refused = wait_ready(&mut service, false, |readiness| !readiness["store"]["failure"].is_null());
    assert_eq!(refused["lanes"][0]["ready"], false, "{refused:#}");
    assert_eq!(metric(&service.admin, "vedette_store_up"), Some(0.0));
    engine.fault("ok");
    wait_ready(&mut service, true, |readiness| readiness["store"]["ready"] == true);
    // Everything, questions too, on a lane that has nothing to store.
    service.wait_closed(1, (begin + 780) * 1_000_000, Duration::from_secs(60));
    std::thread::sleep(Duration::from_millis(2_500));
    demand_told_before_it_is_stored(&mut service, &engine, || {
        sender.send(0, message("pump-1", (begin + 850) as f64).as_bytes());
        sender.heartbeat(0, begin + 960);
        sender.flush();
    });
    engine.fault("refuse");
    wait_ready(&mut service, false, |readiness| !readiness["store"]["failure"].is_null());
    engine.fault("ok");
    wait_ready(&mut service, true, |readiness| readiness["store"]["ready"] == true);
    assert_eq!(metric(&service.admin, "vedette_store_up"), Some(1.0));
    assert!(metric(&service.admin, "vedette_store_retries_total").is_some_and(|count| count > 0.0));
    service.stop();
    // The line that tells of the trouble belongs to the trace of the step that met it.
    let received = collector.received();
    let told = received.logs.iter().find(|log| log.text.contains("cannot store a step")).expect("it was logged");
    let steps: BTreeSet<&[u8]> = named(&received, "step").map(|span| span.trace_id.as_slice()).collect();
    assert!(steps.contains(told.trace_id.as_slice()), "`{}` belongs to no step", told.text);
}

/// Whoever acts on findings does not wait for the store: a lane that is level tells of a tick that cannot be stored yet.
fn demand_told_before_it_is_stored(service: &mut Service, engine: &Engine, close_a_tick: impl FnOnce()) {
    let told = |service: &Service| metric(&service.admin, "vedette_end_to_end_seconds_count").unwrap_or(0.0);
    let kept = |service: &Service| metric(&service.admin, "vedette_steps_total").unwrap_or(0.0);
    let before = (told(service), kept(service));
    engine.fault("500@insert");
    close_a_tick();
    until(service, "a tick to be told of", |service| told(service) > before.0);
    assert_eq!((told(service), kept(service)), (before.0 + 1.0, before.1), "told, and not stored");
    engine.fault("ok");
    until(service, "the tick to be stored", |service| kept(service) > before.1);
    assert_eq!(told(service), before.0 + 1.0, "told once");
}

/// From this machine's address in its network nobody answers.
fn demand_on_loopback_only(admin: &str) {
    let port = admin.rsplit(':').next().expect("an address has a port");
    // Nothing is sent: it only asks the system for a way out.
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    let way_out = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()).map(|address| address.ip());
    if let Ok(address) = way_out.as_ref()
        && !address.is_loopback()
    {
        assert_eq!(get(&format!("{address}:{port}"), "/healthz"), None, "answered at {address}");
    }
}

fn append(path: &Path, more: &str) {
    let toml = std::fs::read_to_string(path).expect("the site has a configuration");
    std::fs::write(path, toml + more).expect("it is written");
}

/// A record that cannot be used, so that every counter has counted.
fn spoil(bootstrap: &str) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("a producer is made");
    producer.send(BaseRecord::<(), str>::to("vedette.raw").payload("no record")).expect("it is queued");
    producer.flush(Duration::from_secs(10)).expect("it arrives");
}

#[track_caller]
fn wait_ready(service: &mut Service, ready: bool, and: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + Duration::from_secs(90);
    let mut last = Value::Null;
    while Instant::now() < until {
        assert!(service.is_running(), "the service ended:\n{}", service.said());
        if let Some(readiness) = service.readiness() {
            if readiness["ready"] == ready && and(&readiness) {
                return readiness;
            }
            last = readiness;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("not ready: {ready} within 90 s: {last:#}\n{}", service.said());
}

/// Names in docs/metrics.md.
fn documented() -> BTreeSet<String> {
    let page = std::fs::read_to_string("docs/metrics.md").expect("it is there");
    let names = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned));
    names.filter(|name| name.starts_with("vedette_")).collect()
}

fn documented_of_running() -> BTreeSet<String> {
    let is_elsewhere = |name: &str| OF_LEARNING.contains(&name) || OF_GATEWAYS.contains(&name);
    documented().into_iter().filter(|name| !is_elsewhere(name)).collect()
}

/// Only once a version was learned; the trainer's test looks for them.
const OF_LEARNING: [&str; 2] = ["vedette_baselines_learned_total", "vedette_training_seconds"];

/// Only with gateways and sinks; the test of a gateway of one's own looks for them.
const OF_GATEWAYS: [&str; 5] = [
    "vedette_isolation_seconds",
    "vedette_gateway_queued",
    "vedette_gateway_left_alone",
    "vedette_tell_queued",
    "vedette_tell_lost_total",
];

fn demand_metrics(page: &str) {
    let shown: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned))
        .filter(|name| name.starts_with("vedette_"))
        .collect();
    assert_eq!(shown, documented_of_running(), "/metrics and docs/metrics.md");
    for counted in ["vedette_end_to_end_seconds_count", "vedette_step_seconds_count"] {
        assert!(value_of(page, counted).is_some_and(|count| count > 0.0), "{counted}:\n{page}");
    }
    let lags = page.lines().filter(|line| line.starts_with("vedette_lane_lag_seconds{")).count();
    assert_eq!(lags, 2, "{page}");
    assert_eq!(value_of(page, "vedette_store_up"), Some(1.0), "{page}");
}

fn metric(admin: &str, name: &str) -> Option<f64> {
    value_of(&get(admin, "/metrics")?, name)
}

/// Of all labels together.
fn value_of(page: &str, name: &str) -> Option<f64> {
    let of = |line: &str| {
        let (found, value) = line.rsplit_once(' ')?;
        (found.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok()).flatten()
    };
    let values: Vec<f64> = page.lines().filter_map(of).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

/// The same as at `/metrics`, without the endings that Prometheus asks for, and none that is empty.
fn demand_sent_metrics(received: &Received) {
    let plain = |name: &String| name.trim_end_matches("_total").trim_end_matches("_seconds").to_owned();
    let sent: BTreeSet<String> = received.metrics.keys().filter(|name| name.starts_with("vedette_")).cloned().collect();
    assert_eq!(sent, documented_of_running().iter().map(plain).collect());
    for name in ["vedette_records", "vedette_windows", "vedette_end_to_end", "vedette_findings", "vedette_lane_lag"] {
        assert!(received.metrics[name] > 0.0, "{name}: {:?}", received.metrics);
    }
}

fn demand_logs(received: &Received) {
    for text in ["vedette runs", "lane begins", "act begins", "judge has stopped"] {
        assert!(received.logs.iter().any(|log| log.text.contains(text)), "`{text}` is in no log record");
    }
}

fn named<'r>(received: &'r Received, name: &'r str) -> impl Iterator<Item = &'r Span> {
    received.spans.iter().filter(move |span| span.name == name)
}

/// By all steps together.
fn windows_told(received: &Received) -> i64 {
    let of = |step: &Span| attribute(&step.attributes, "windows").parse::<i64>().expect("a number of windows");
    named(received, "step").map(of).sum()
}

/// Each step is one trace, whole; each finding leads from `act` to the step that found it.
fn demand_traces(received: &Received, store: &Path) {
    let mut traces: BTreeMap<&[u8], Vec<&Span>> = BTreeMap::new();
    for span in &received.spans {
        traces.entry(&span.trace_id).or_default().push(span);
    }
    let steps: Vec<&Span> = named(received, "step").collect();
    assert!(!steps.is_empty());
    let mut fetches = 0;
    for step in &steps {
        assert!(step.parent_span_id.is_empty(), "a step has no parent");
        let parts = &traces[step.trace_id.as_slice()];
        for name in ["judge", "store", "publish", "commit"] {
            let part: Vec<&&Span> = parts.iter().filter(|span| span.name == name).collect();
            assert_eq!(part.len(), 1, "`{name}` in {parts:#?}");
            assert_eq!(part[0].parent_span_id, step.span_id);
            assert!(step.start_time_unix_nano <= part[0].start_time_unix_nano);
            assert!(step.end_time_unix_nano >= part[0].end_time_unix_nano);
        }
        // A mark may close several steps: what was fetched led to the first of them.
        let fetched: Vec<&&Span> = parts.iter().filter(|span| span.name == "fetch").collect();
        assert!(fetched.len() <= 1, "{parts:#?}");
        for fetch in &fetched {
            assert_eq!(fetch.parent_span_id, step.span_id);
            assert_eq!(fetch.start_time_unix_nano, step.start_time_unix_nano);
            assert!(attribute(&fetch.attributes, "entries").parse::<u64>().is_ok_and(|entries| entries > 0));
        }
        fetches += fetched.len();
        assert!(attribute(&step.attributes, "ticks").parse::<u32>().is_ok_and(|ticks| ticks > 0));
        assert!(["0", "1"].contains(&attribute(&step.attributes, "lane").as_str()));
    }
    assert!(fetches > 0);
    assert_eq!(named(received, "fetch").count(), fetches, "each led to a step");
    let stored = query(store, "select count(*) as windows from windows")[0]["windows"].as_i64();
    assert_eq!(Some(windows_told(received)), stored, "the traces tell of every window once");

    let of_step: BTreeMap<&[u8], &Span> = steps.iter().map(|step| (step.trace_id.as_slice(), *step)).collect();
    let mut told = BTreeSet::new();
    let mut linked = BTreeSet::new();
    for act in named(received, "act") {
        let ids = |list: String| list.split(' ').filter(|id| !id.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        told.extend(ids(attribute(&act.attributes, "told")));
        for link in &act.links {
            let step = of_step.get(link.trace_id.as_slice()).expect("a link leads to a step");
            assert_ne!(link.trace_id, act.trace_id);
            let publish = traces[link.trace_id.as_slice()].iter().find(|span| span.span_id == link.span_id);
            assert_eq!(publish.map(|span| span.name.as_str()), Some("publish"));
            linked.extend(ids(attribute(&step.attributes, "findings")));
        }
    }
    let rows = query(store, "select finding_id, scope from findings");
    let stored: BTreeSet<String> =
        rows.iter().filter_map(|row| row["finding_id"].as_str().map(str::to_owned)).collect();
    assert_eq!(told, stored, "`act` tells of every finding");
    // What is joined of several lanes' findings has an id of its own.
    let single = rows.iter().filter(|row| row["scope"] != "site").filter_map(|row| row["finding_id"].as_str());
    for id in single {
        assert!(linked.contains(id), "finding {id} leads to no step");
    }
}
