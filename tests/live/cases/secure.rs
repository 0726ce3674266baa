//! TLS, users and what they may do: the whole way by SCRAM and PLAIN, and `vedette check` on everything that can be wrong.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};

use crate::engine::{Engine, with_engine};
use crate::kafka::{Broker, are_there};
use crate::one_truth::{demand_the_same, prepare_with, replayed_demo, site};
use crate::tables::change;
use crate::vedette::{Service, text, vedette, vedette_with};

const PLAIN: (&str, &str) = ("plain", "plain-secret");
const SCRAM: (&str, &str) = ("scram", "scram-secret");
const VARIABLE: &str = "VEDETTE_TEST_PASSWORD";
/// Cases that are looked at together: of more, each would be slow, and `check` waits for 8 s only.
const AT_ONCE: usize = 3;

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Properties and secrets of a user, in place of a configuration's `[source.kafka.properties]`.
fn properties(broker: &Broker, mechanism: &str, user: &str, secret: &str) -> String {
    format!(
        "[source.kafka.secrets]\n\"sasl.password\" = {secret}\n[source.kafka.properties]\n\
         \"security.protocol\" = \"sasl_ssl\"\n\"sasl.mechanism\" = \"{mechanism}\"\n\"sasl.username\" = \"{user}\"\n\
         \"ssl.ca.location\" = \"{}\"\n",
        broker.ca
    )
}

/// The demo, with a router and judge that come by SCRAM, their password from the environment, and a feeder that comes by
/// PLAIN, its from a file; both tell all they can, and never that.
#[test]
fn over_tls_and_by_password_the_demo_gives_the_findings_of_its_replay() {
    if !are_there("TLS and SASL") {
        return;
    }
    let replayed = replayed_demo();
    let broker = Broker::start(&["--tls-sasl"]);
    let site = site(&broker, replayed, 2);
    let plain_text = std::fs::read_to_string(&site.config).expect("the configuration is there");
    let secured = plain_text.replace(&broker.bootstrap, &broker.tls);
    assert_ne!(plain_text, secured);
    let of_user = |properties: String| {
        secured.replace("[source.kafka.properties]\n", &format!("{properties}\"debug\" = \"security,broker,conf\"\n"))
    };
    let by_scram = of_user(properties(&broker, "SCRAM-SHA-512", SCRAM.0, &format!("{{ env = \"{VARIABLE}\" }}")));
    std::fs::write(&site.config, by_scram).expect("it is written");
    let feeding = site.folder.path().join("feed.toml");
    std::fs::write(&feeding, of_user(properties(&broker, "PLAIN", PLAIN.0, "{ file = \"password\" }")))
        .expect("written");
    std::fs::write(site.folder.path().join("password"), format!("{}\n", PLAIN.1)).expect("it is written");

    let variables = [(VARIABLE, SCRAM.1), ("VEDETTE_LOG", "debug")];
    let mut words = String::new();
    let mut succeed = |arguments: &[&str]| {
        let output = vedette_with(arguments, &variables);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        words.push_str(&said(&output));
    };
    prepare_with(&site, replayed, 2, &mut succeed);
    succeed(&["check", "--config", text(&site.config)]);
    let log = site.folder.path().join("log");
    let mut service = Service::start_with(&site.config, "route,judge,act", &log, &site.admin, &variables);
    let demo = replayed.data("demo.toml");
    succeed(&["feed", text(&demo), "--config", text(&feeding), "--speed", "0", "--quiet"]);
    service.wait_closed(2, replayed.through, Duration::from_secs(240));
    service.stop();
    demand_the_same(&replayed.store, &site.folder.path().join("store"));
    words.push_str(&service.said());
    assert!(words.contains("DEBUG"), "it tells all it can:\n{words}");
    for password in [PLAIN.1, SCRAM.1] {
        assert!(!words.contains(password), "a password was told");
    }
}

/// A configuration without a store.
fn without_store(brokers: &str, properties: &str) -> String {
    format!(
        "[source]\ninventory = \"inventory.csv\"\n[source.kafka]\nbrokers = \"{brokers}\"\n{properties}\
         [[source.kafka.topics]]\nname = \"raw\"\nformat = \"native-json\"\n"
    )
}

fn well(brokers: &str, properties: &str) -> String {
    format!("{}[store]\npath = \"store\"\n", without_store(brokers, properties))
}

/// A configuration that is looked at: what is wrong with it, and the words that say so and what to do.
struct Case<'a> {
    what: &'a str,
    config: String,
    expected: &'a [&'a str],
}

#[test]
fn check_names_what_is_wrong_with_its_remedy() {
    if !are_there("what `check` finds") {
        return;
    }
    let mut broker = Broker::start(&["--acls"]);
    let_in(&broker);
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("inventory.csv"), "device_id,device_type\nlamp-1,lamp\n").expect("written");
    std::fs::write(folder.path().join("right"), PLAIN.1).expect("it is written");
    std::fs::write(folder.path().join("wrong"), "not-it").expect("it is written");
    let by_plain = |file: &str| properties(&broker, "PLAIN", PLAIN.0, &format!("{{ file = \"{file}\" }}"));
    let good = well(&broker.tls, &by_plain("right"));
    let of_nobody = by_plain("right").replace(&broker.ca, "/nowhere/ca.pem");
    let open = well(&broker.bootstrap, "");
    let trusting_nobody =
        by_plain("right").lines().filter(|line| !line.contains("ssl.ca")).collect::<Vec<_>>().join("\n");
    let cases = [
        Case { what: "a typo in a key", config: good.replace("inventory", "inventroy"), expected: &["inventroy", "^"] },
        Case {
            what: "a typo in a property",
            config: good.replace("sasl.username", "sasl.user"),
            expected: &["sasl.user", "properties"],
        },
        Case {
            what: "a host that is none",
            config: good.replace(&broker.tls, "no-such-host.invalid:9092"),
            expected: &["no-such-host.invalid", "correct the host in [source.kafka] brokers"],
        },
        Case {
            what: "a port nobody listens at",
            config: well("127.0.0.1:1", ""),
            expected: &["127.0.0.1:1", "is the broker up"],
        },
        Case {
            what: "TLS spoken to without",
            config: well(&broker.tls, ""),
            expected: &[broker.tls.as_str(), "security.protocol"],
        },
        Case {
            what: "an authority nobody trusts",
            config: well(&broker.tls, &format!("{trusting_nobody}\n")),
            expected: &["ssl.ca.location"],
        },
        Case {
            what: "an authority that is no file",
            config: well(&broker.tls, &of_nobody),
            expected: &["ssl.ca.location", "source.kafka.properties"],
        },
        Case {
            what: "a wrong password",
            config: well(&broker.tls, &by_plain("wrong")),
            expected: &["refuse the user", "sasl.password"],
        },
        Case {
            what: "a password that is nowhere",
            config: well(&broker.tls, &by_plain("missing")),
            expected: &["sasl.password", "missing", "source.kafka.secrets"],
        },
        Case {
            what: "topics that are missing",
            config: open.clone(),
            expected: &[
                "`raw`",
                "`vedette.readings`",
                "`vedette.cohorts`",
                "`vedette topics create`",
                "--raw-partitions",
            ],
        },
    ];
    demand_each(folder.path(), &cases);
    let config = written(folder.path(), &open);
    assert!(vedette(&["topics", "create", "--config", text(&config), "--raw-partitions", "1"]).status.success());
    let grants = [
        ("the raw topic", &["`raw`", "may not be looked at", "grant the user"][..], "--operation Describe --topic raw"),
        ("reading the raw topic", &["`raw`", "not read", "grant the user"], "--operation Read --topic raw"),
        (
            "our own topics",
            &["`vedette.readings`", "`vedette.cohorts`", "`vedette.findings`", "grant the user"],
            "--operation Read --operation Write --topic vedette. --resource-pattern-type prefixed",
        ),
        (
            "the groups",
            &["`vedette-judge`", "grant the user Read on the groups"],
            "--operation Read --group vedette --resource-pattern-type prefixed",
        ),
        (
            "the journal's transactions",
            &["transactional ids that begin with `vedette`", "grant the user Describe and Write"],
            "--operation Describe --operation Write --transactional-id vedette --resource-pattern-type prefixed",
        ),
    ];
    for (what, expected, grant) in grants {
        demand(folder.path(), &Case { what, config: good.clone(), expected });
        let granted = broker.tell(&format!("acls --add --allow-principal User:plain {grant}"));
        assert_eq!(granted["status"], 0, "{granted}");
    }
    let output = vedette(&["check", "--config", text(&written(folder.path(), &good))]);
    assert!(output.status.success() && said(&output).contains("all is well"), "{}", said(&output));
}

#[test]
fn check_names_what_is_wrong_with_clickhouse_and_its_remedy() {
    if !are_there("what `check` finds of ClickHouse") {
        return;
    }
    let broker = Broker::start(&[]);
    let (folder, data) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let engine = Engine::start(data.path());
    std::fs::write(folder.path().join("inventory.csv"), "device_id,device_type\nlamp-1,lamp\n").expect("written");
    std::fs::write(folder.path().join("wrong"), "not-it").expect("it is written");
    let good = with_engine(&without_store(&broker.bootstrap, ""), folder.path(), &engine)
        .replace("migrate = true", "migrate = false");
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from), "`{from}` is not in\n{good}");
        good.replace(from, to)
    };
    let secret = folder.path().join("secret");
    let is_it_up = "is the server up, and [store.clickhouse] url its HTTP interface";
    let by_whom = "correct [store.clickhouse] user and password";
    let not_migrated = ["`0001_database` was not applied", "run `vedette migrate`"];
    let mend_or_make =
        |what: &'static str| [what, "correct [store.clickhouse] database", "`vedette migrate`", "set migrate = true"];
    let fresh = mend_or_make("database `vedette` does not exist");
    let elsewhere = mend_or_make("database `elsewhere` does not exist");
    let config = written(folder.path(), &good);
    let topics = vedette(&["topics", "create", "--config", text(&config), "--raw-partitions", "1"]);
    assert!(topics.status.success(), "{}", said(&topics));
    demand(folder.path(), &Case { what: "a server nobody used yet", config: good.clone(), expected: &fresh });
    let migrated = vedette(&["migrate", "--config", text(&written(folder.path(), &good))]);
    assert!(migrated.status.success(), "{}", said(&migrated));
    change(&engine, "CREATE DATABASE bare");
    let cases = [
        Case {
            what: "a host that is none",
            config: changed(&engine.address, "no-such-host.invalid:8123"),
            expected: &["no-such-host.invalid", is_it_up],
        },
        Case {
            what: "a port nobody listens at",
            config: changed(&engine.address, "127.0.0.1:1"),
            expected: &["http://127.0.0.1:1", is_it_up],
        },
        Case {
            what: "a wrong password",
            config: changed(text(&secret), text(&folder.path().join("wrong"))),
            expected: &["AUTHENTICATION_FAILED", by_whom],
        },
        Case {
            what: "a user nobody knows",
            config: changed("\"writer\"", "\"wrighter\""),
            expected: &["wrighter", by_whom],
        },
        Case {
            what: "a password that is nowhere",
            config: changed(text(&secret), text(&folder.path().join("missing"))),
            expected: &["clickhouse.password", "missing", "a file that can be read"],
        },
        Case {
            what: "a database that is missing",
            config: changed("migrate = false", "migrate = false\ndatabase = \"elsewhere\""),
            expected: &elsewhere,
        },
        Case {
            what: "a database without tables",
            config: changed("migrate = false", "migrate = false\ndatabase = \"bare\""),
            expected: &not_migrated,
        },
    ];
    demand_each(folder.path(), &cases);
    let output = vedette(&["check", "--config", text(&written(folder.path(), &good))]);
    assert!(output.status.success() && said(&output).contains("all is well"), "{}", said(&output));
    let to_be_made = changed("migrate = false", "migrate = true\ndatabase = \"elsewhere\"");
    let output = vedette(&["check", "--config", text(&written(folder.path(), &to_be_made))]);
    let words = said(&output);
    assert!(output.status.success() && words.contains("`elsewhere`, which is not there yet and is made"), "{words}");
}

fn written(folder: &Path, config: &str) -> PathBuf {
    written_as(folder, "vedette", config)
}

fn written_as(folder: &Path, name: &str, config: &str) -> PathBuf {
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, config).expect("the configuration is written");
    path
}

/// Somebody by TLS and password: the first of all takes longest, as Java has yet to load what that needs.
fn let_in(broker: &Broker) {
    let client: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &broker.tls)
        .set("security.protocol", "sasl_ssl")
        .set("sasl.mechanism", "PLAIN")
        .set("sasl.username", PLAIN.0)
        .set("sasl.password", PLAIN.1)
        .set("ssl.ca.location", &broker.ca)
        .create()
        .expect("a producer");
    client.client().fetch_metadata(None, Duration::from_secs(60)).expect("the broker lets the user in");
}

/// Some at once: most of them wait for somebody who does not answer.
fn demand_each(folder: &Path, cases: &[Case<'_>]) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    demand(folder, case);
                }
            });
        }
    });
}

#[track_caller]
fn demand(folder: &Path, case: &Case<'_>) {
    let config = written_as(folder, case.what, &case.config);
    let output = vedette(&["check", "--config", text(&config)]);
    let words = said(&output);
    assert_eq!(output.status.code(), Some(2), "{}: {words}", case.what);
    for word in case.expected {
        assert!(words.contains(word), "{}: `{word}` is not said in\n{words}", case.what);
    }
    assert!(!words.contains(PLAIN.1), "{}: the password is told", case.what);
}
