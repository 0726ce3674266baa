//! The compose set-up, as far as it can be checked where nothing runs it: what it mounts is there, and its ports, users,
//! topics, passwords and commands are those of the program and of the files under deploy/.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use store::clickhouse::{ClickHouseConfig, Form};

use crate::{read, root, yaml};

fn compose() -> Value {
    yaml::load(&root().join("docker-compose.yml"))
}

fn file(name: &str) -> String {
    read(&root().join(name))
}

fn config() -> toml::Table {
    file("deploy/vedette.toml").parse().expect("deploy/vedette.toml is TOML")
}

fn text<'a>(value: &'a Value, what: &str) -> &'a str {
    value.as_str().unwrap_or_else(|| panic!("{what} is `{value}`, expected a text"))
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Each service by name.
fn services(compose: &Value) -> impl Iterator<Item = (&String, &Value)> {
    compose["services"].as_object().expect("there are services").iter()
}

/// They end by themselves.
fn ends(service: &Value) -> bool {
    service["restart"] != "unless-stopped"
}

#[test]
fn every_service_is_pinned_bounded_and_without_rights() {
    let compose = compose();
    for (name, service) in services(&compose) {
        let image = text(&service["image"], name);
        if image == "vedette:local" {
            assert_eq!(service["build"], ".", "{name}");
        } else {
            let version = image.split_once(':').map_or("", |(_, tag)| tag.trim_start_matches('v'));
            assert!(version.split('.').count() >= 3, "{name}: `{image}` is not pinned");
        }
        let user = service["user"].as_str().unwrap_or("0");
        assert!(user.starts_with(|letter| matches!(letter, '1'..='9')), "{name} runs as `{user}`");
        assert!(texts(&service["security_opt"]).contains(&"no-new-privileges:true"), "{name}");
        assert!(service["logging"]["options"]["max-size"].is_string(), "{name}: its log fills the disk");
        let limits = &service["deploy"]["resources"]["limits"];
        assert!(limits["cpus"].is_string() && limits["memory"] == service["mem_limit"], "{name}: {limits}");
        let checked = texts(&service["healthcheck"]["test"]).first() == Some(&"CMD");
        assert!(checked || ends(service) || name == "collector", "{name} has no health check");
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: `{port}` is open to others");
        }
    }
}

#[test]
fn what_is_mounted_or_waited_for_is_there() {
    let compose = compose();
    let mut used = BTreeSet::new();
    for (name, service) in services(&compose) {
        for volume in texts(&service["volumes"]) {
            let source = volume.split(':').next().unwrap_or_default();
            if source.starts_with("./") {
                assert!(root().join(source).exists(), "{name} mounts `{source}`, which is not there");
                assert!(volume.ends_with(":ro"), "{name} may write to `{source}`");
            } else {
                used.insert(source.to_owned());
            }
        }
        for (other, how) in service["depends_on"].as_object().into_iter().flatten() {
            let other_service = &compose["services"][other];
            match text(&how["condition"], other) {
                "service_healthy" => assert!(other_service["healthcheck"].is_object(), "{name}: {other}"),
                "service_completed_successfully" => assert!(ends(other_service), "{name}: {other} does not end"),
                condition => panic!("{name} waits for `{condition}` of {other}"),
            }
        }
    }
    let declared: BTreeSet<String> =
        compose["volumes"].as_object().expect("there are volumes").keys().cloned().collect();
    assert_eq!(declared, used);
    for dashboard in std::fs::read_dir(root().join("dashboards")).expect("there are dashboards").flatten() {
        let name = dashboard.file_name().to_string_lossy().into_owned();
        let mounted = format!("./dashboards/{name}:/etc/grafana/dashboards/{name}:ro");
        let is_mounted = texts(&compose["services"]["grafana"]["volumes"]).contains(&mounted.as_str());
        assert!(is_mounted || !name.ends_with(".json"), "grafana does not mount {name}");
    }
    let provider = yaml::load(&root().join("dashboards/provisioning/dashboards/vedette.yaml"));
    assert_eq!(provider["providers"][0]["options"]["path"], "/etc/grafana/dashboards");
}

#[test]
fn everybody_finds_everybody_else() {
    let compose = compose();
    let service = |name: &str| &compose["services"][name];
    let config = config();
    let of_config = |section: &str, key: &str| {
        let section = section.split('.').fold(&toml::Value::Table(config.clone()), |at, part| &at[part]).clone();
        section[key].as_str().unwrap_or_default().to_owned()
    };
    // The program's own port: in its container, for this machine, for the health check, for Prometheus.
    let admin = of_config("run", "admin").rsplit(':').next().unwrap_or_default().to_owned();
    assert_eq!(texts(&service("vedette")["ports"]), [format!("127.0.0.1:{admin}:{admin}")]);
    assert!(file("Dockerfile").contains(&format!("EXPOSE {admin}\n")));
    let check = texts(&service("vedette")["healthcheck"]["test"]).join(" ");
    assert!(check.contains(&format!("/dev/tcp/127.0.0.1/{admin} ")) && check.contains("GET /healthz"), "{check}");
    let scraped = yaml::load(&root().join("deploy/prometheus.yml"));
    let targets: Vec<&str> = scraped["scrape_configs"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|job| texts(&job["static_configs"][0]["targets"]))
        .collect();
    let collector = yaml::load(&root().join("deploy/collector.yaml"));
    let own = &collector["service"]["telemetry"]["metrics"]["readers"][0]["pull"]["exporter"]["prometheus"]["port"];
    assert_eq!(targets, [format!("vedette:{admin}"), format!("collector:{}", text(own, "the collector's own port"))]);
    // Kafka
    let kafka = &service("kafka")["environment"];
    let brokers = of_config("source.kafka", "brokers");
    let (host, port) = brokers.split_once(':').expect("a broker has a port");
    assert!(service(host).is_object(), "`{host}` is no service");
    let listeners = text(&kafka["KAFKA_LISTENERS"], "listeners");
    assert!(listeners.contains(&format!("INSIDE://:{port},")), "{listeners}");
    let advertised = text(&kafka["KAFKA_ADVERTISED_LISTENERS"], "advertised listeners");
    assert!(advertised.contains(&format!("INSIDE://{brokers},")), "{advertised}");
    let outside = advertised.rsplit("HOST://").next().unwrap_or_default();
    assert!(
        texts(&service("kafka")["ports"])
            .contains(&format!("{outside}:{}", outside.rsplit(':').next().unwrap_or_default()).as_str())
    );
    assert!(file("deploy/README.md").contains(outside), "deploy/README.md does not say where records go in");
    // ClickHouse and the collector
    for (section, key, name) in [("store.clickhouse", "url", "clickhouse"), ("telemetry", "otlp_endpoint", "collector")]
    {
        let url = of_config(section, key);
        let (host, port) = url.trim_start_matches("http://").split_once(':').expect("a URL has a port");
        assert_eq!(host, name);
        assert!(
            texts(&service(name)["ports"]).contains(&format!("127.0.0.1:{port}:{port}").as_str()),
            "{name}: {port}"
        );
    }
    let otlp = of_config("telemetry", "otlp_endpoint");
    let received = text(&collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"], "OTLP over HTTP");
    assert_eq!(received.rsplit(':').next(), otlp.rsplit(':').next());
    // Grafana
    let grafana = &service("grafana")["environment"];
    assert!(service(text(&grafana["CLICKHOUSE_HOST"], "its host")).is_object());
    assert_eq!(grafana["PROMETHEUS_URL"], "http://prometheus:9090");
    let sources = yaml::load(&root().join("dashboards/provisioning/datasources/vedette.yaml"));
    assert_eq!(sources["datasources"][0]["jsonData"]["host"], "$CLICKHOUSE_HOST");
    let http = of_config("store.clickhouse", "url");
    assert_eq!(sources["datasources"][0]["jsonData"]["port"].as_str(), http.rsplit(':').next());
    let plugins = text(&grafana["GF_PLUGINS_PREINSTALL_SYNC"], "its plugins");
    let (plugin, version) = plugins.split_once('@').expect("the plug-in is pinned");
    assert_eq!((sources["datasources"][0]["type"].as_str(), version.split('.').count()), (Some(plugin), 3));
    for dashboard in ["soc", "operations"] {
        assert!(file(&format!("dashboards/{dashboard}.json")).contains(&format!("\"type\": \"{plugin}\"")));
    }
}

#[test]
fn users_and_passwords_have_the_same_names_everywhere() {
    let compose = compose();
    let users = file("deploy/clickhouse/users.xml");
    let sql = file("store/migrations/users.sql");
    let store = config()["store"]["clickhouse"].clone();
    let (writer, database) = (store["user"].as_str().expect("a user"), store["database"].as_str().expect("a database"));
    let password = store["password"]["env"].as_str().expect("the password comes from the environment");
    let sources = yaml::load(&root().join("dashboards/provisioning/datasources/vedette.yaml"));
    let reader = text(&sources["datasources"][0]["jsonData"]["username"], "the reader");
    let readers =
        text(&sources["datasources"][0]["secureJsonData"]["password"], "its password").trim_start_matches('$');
    assert_eq!(sources["datasources"][0]["jsonData"]["defaultDatabase"], database);
    for (user, password, who) in
        [(writer, password, ["vedette", "migrate"]), (reader, readers, ["grafana", "clickhouse"])]
    {
        let of_user = users.split(&format!("<{user}>")).last().expect("the user is there");
        assert!(of_user.contains(&format!("<password from_env=\"{password}\"/>")), "{user}");
        assert!(sql.contains(&format!("CREATE USER IF NOT EXISTS {user}")), "{user}");
        for service in who {
            let given = &compose["services"][service]["environment"][password];
            assert_eq!(given, &format!("${{{password}:?set it in .env}}"), "{service}");
        }
    }
    assert!(users.contains(&format!("GRANT SELECT, INSERT, ALTER DELETE, ALTER TABLE ON {database}.*")));
    // Whoever migrates must be able to give the lock back.
    let lock = Form::of(&ClickHouseConfig::default()).give_lock_back();
    let lock = lock.split(' ').find_map(|word| word.strip_prefix("vedette.")).expect("the lock is a table");
    assert!(users.contains(&format!("<query>GRANT DROP TABLE ON {database}.{lock}</query>")), "`{lock}`");
    assert!(sql.contains(&format!("DROP TABLE ON {{database}}.{lock} TO {writer};")), "`{lock}`");
    assert!(sql.contains(&format!(" REMOTE ON *.* TO {writer};")), "Distributed tables need it");
    assert!(users.contains("<default remove=\"remove\"/>"), "the user without a password is gone");
    // What makes both stores answer alike is the reader's, wherever readers are made.
    let front = file("tests/services/clickhouse.py");
    for setting in ["join_use_nulls", "aggregate_functions_null_for_empty", "prefer_column_name_to_alias"] {
        assert!(users.contains(&format!("<{setting}>1</{setting}>")), "{setting}");
        assert!(sql.contains(&format!("{setting} = 1,")) && front.contains(&format!("{setting} = 1")), "{setting}");
    }
    // Nobody has a password of ours.
    let asked: BTreeSet<String> = file("docker-compose.yml")
        .split("${")
        .skip(1)
        .map(|rest| rest.split([':', '}']).next().unwrap_or_default().to_owned())
        .collect();
    let example = file(".env.example");
    let named: BTreeSet<String> =
        example.lines().filter_map(|line| line.strip_suffix('=')).map(str::to_owned).collect();
    assert_eq!(asked, named, ".env.example names what docker-compose.yml asks for, with nothing behind it");
}

#[test]
fn the_program_takes_what_containers_give_it() {
    let compose = compose();
    let vedette = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_vedette"))
            .args(arguments)
            .env("CLICKHOUSE_WRITER_PASSWORD", "for a test")
            .output()
            .expect("the program starts");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let mount = "./deploy:/etc/vedette:ro";
    for (name, service) in services(&compose).filter(|(_, service)| service["build"].is_string()) {
        assert!(texts(&service["volumes"]).contains(&mount), "{name}");
        let mut command = texts(&service["command"]);
        if let Some(at) = command.iter().position(|word| word.starts_with("/etc/vedette/")) {
            assert!(root().join(command[at].replace("/etc/vedette", "deploy")).is_file(), "{name}");
        }
        command.push("--help");
        assert!(vedette(&command).0, "{name}: {command:?}");
    }
    // Its hosts are there in the containers' network only; all else is right.
    let (_, said) = vedette(&["check", "--config", "deploy/vedette.toml"]);
    assert!(said.contains("ok     configuration") && said.contains("ok     inventory"), "{said}");
    let topics: Vec<String> = config()["source"]["kafka"]["topics"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|topic| topic["name"].as_str().map(str::to_owned))
        .collect();
    let page = file("deploy/README.md");
    assert!(!topics.is_empty() && topics.iter().all(|topic| page.contains(&format!("`{topic}`"))), "{topics:?}");
}

#[test]
fn the_image_is_built_as_everything_is() {
    let image = file("Dockerfile");
    let build = "cargo build --release --workspace --locked";
    assert!(image.contains(&format!("    {build} \\\n")), "the Dockerfile's command");
    assert!(file("Makefile").contains(&format!("build:\n\t{build}\n")), "the Makefile's");
    assert!(file(".ci/run").lines().any(|line| line == "make build"), "it is built in CI as in the image");
    let from: Vec<&str> = image.lines().filter_map(|line| line.strip_prefix("FROM ")).collect();
    let [builder, runtime] = from[..] else { panic!("two stages: {from:?}") };
    let version = |text: &str| -> Vec<u32> { text.split('.').map_while(|part| part.parse().ok()).collect() };
    let rust = builder.trim_start_matches("rust:").split('-').next().map(version).expect("a version");
    let manifest: toml::Table = file("Cargo.toml").parse().expect("Cargo.toml is TOML");
    let needed = version(manifest["workspace"]["package"]["rust-version"].as_str().expect("a version"));
    assert!(rust >= needed, "`{builder}` is older than {needed:?}");
    assert!(runtime.starts_with("debian:") && runtime.contains('.'), "`{runtime}` is not pinned");
    // Both of one Debian, for one libc.
    assert!(builder.contains("bookworm") && runtime.starts_with("debian:12"));
    let user = image.lines().find_map(|line| line.strip_prefix("USER ")).expect("it has a user");
    let compose = compose();
    assert_eq!(compose["services"]["vedette"]["user"], user);
    let home = image.lines().find_map(|line| line.strip_prefix("VOLUME ")).expect("it has a volume");
    assert!(texts(&compose["services"]["vedette"]["volumes"]).contains(&format!("vedette-data:{home}").as_str()));
    assert_eq!(config()["store"]["path"].as_str(), Some(home));
    // What cargo reads is not kept from the builder.
    let given = file(".dockerignore");
    let members =
        manifest["workspace"]["members"].as_array().into_iter().flatten().filter_map(|member| member.as_str());
    let is_given = |folder: &str| given.lines().any(|line| line == format!("!{folder}"));
    for folder in members.filter(|member| *member != ".").chain(["src", "Cargo.toml", "Cargo.lock", "docs", "tests"]) {
        assert!(Path::new(folder).exists() && is_given(folder), ".dockerignore keeps `{folder}` from the builder");
    }
}
