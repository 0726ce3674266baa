//! `[[responders.tell]]`: what is wrong is said, with its name and value.

use fleet::Severity;
use responders::tell::{Kind, SinkConfig, TellConfig};

fn read(text: &str) -> Result<TellConfig, String> {
    #[derive(serde::Deserialize)]
    struct Responders {
        tell: TellConfig,
    }
    toml::from_str::<Responders>(text).map(|it| it.tell).map_err(|error| error.to_string())
}

fn check(text: &str) -> String {
    let config = match read(text) {
        Ok(config) => config,
        Err(error) => return error,
    };
    config.check().map_or_else(|error| error.to_string(), |()| "right".to_owned())
}

/// Every example of the page is a configuration.
#[test]
fn the_examples_of_the_page_are_right() {
    let page = include_str!("../../../docs/telling.md");
    let examples: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 5, "{}", examples.len());
    let mut kinds = std::collections::BTreeSet::new();
    for example in examples.iter().filter(|example| example.contains("[[responders.tell]]")) {
        let text = example.replace("[[responders.tell]]", "[[tell]]");
        assert_eq!(check(&text), "right", "{text}");
        kinds.extend(read(&text).unwrap().sinks.iter().map(|sink| format!("{:?}", std::mem::discriminant(sink))));
    }
    assert_eq!(kinds.len(), 6, "one of each kind");
}

#[test]
fn what_is_wrong_is_said() {
    let syslog = "[[tell]]\nkind = 'syslog'\nname = 's'\naddress = 'siem.example:6514'\n";
    let file = "[[tell]]\nkind = 'file'\nname = 'f'\npath = 'events.jsonl'\n";
    let chat = "[[tell]]\nkind = 'chat'\nname = 'c'\ntemplate = 'slack'\nurl = { env = 'SLACK' }\n";
    assert_eq!(check(&[syslog, file, chat].concat()), "right");
    for (text, said) in [
        ([syslog, syslog].concat(), "`s`: its name is empty or another's too"),
        (syslog.replace("siem.example:6514", "siem.example"), "address is `siem.example`, expected `host:port`"),
        (syslog.replace(":6514", ":0"), "expected `host:port`"),
        (format!("{syslog}facility = 'local9'"), "facility is `local9`, expected one of kern"),
        (format!("{syslog}max_bytes = 100"), "max_bytes is `100`, expected 480"),
        (format!("{syslog}transport = 'udp'\nmax_bytes = 70000"), "max_bytes is `70000`"),
        (format!("{syslog}limit_seconds = 0"), "limit_seconds is `0`, expected 1 to 120"),
        (format!("{syslog}transport = 'smtp'"), "smtp"),
        (format!("{syslog}adress = 'x'"), "adress"),
        (format!("{syslog}only = {{ min_severty = 'low' }}"), "min_severty"),
        (format!("{syslog}only = {{ events = ['windows'] }}"), "windows"),
        (format!("{file}keep = 0"), "keep `0`"),
        (format!("{file}max_bytes = 10"), "max_bytes is `10`"),
        (chat.replace("slack", "slakc"), "template `slakc` is none of slack"),
        (chat.replace("slack", "jira"), "params.project is missing"),
        (format!("{chat}params = {{ channel = 'x' }}"), "params.channel is no value of the template"),
        (chat.replace("env", "evn"), "expected a text, `{ env"),
        ("[[tell]]\nkind = 'kafka'\nname = 'k'\ntopic = ''\n".to_owned(), "topic is empty"),
        ("[[tell]]\nkind = 'pigeon'\nname = 'p'\n".to_owned(), "pigeon"),
    ] {
        let found = check(&text);
        assert!(found.contains(said), "{text}\nsaid: {found}\nexpected: {said}");
    }
}

#[test]
fn defaults_fit_who_listens() {
    let only = |text: &str| toml::from_str::<SinkConfig>(text).unwrap().only();
    let file = only("kind = 'file'\nname = 'f'\npath = 'f'");
    assert_eq!((file.min_severity, file.per_minute), (Some(Severity::Info), Some(0)));
    assert_eq!(file.events.unwrap().len(), Kind::ALL.len());
    let chat =
        only("kind = 'chat'\nname = 'c'\ntemplate = 'slack'\nurl = 'https://c.example'\nonly = { per_minute = 3 }");
    assert_eq!((chat.min_severity, chat.per_minute), (Some(Severity::Medium), Some(3)));
    assert!(!chat.events.unwrap().contains(&Kind::Finding));
    let ticket = only("kind = 'ticket'\nname = 't'\ntemplate = 'ticket'\nurl = 'https://t.example'");
    assert_eq!((ticket.min_severity, ticket.events.unwrap().len()), (Some(Severity::High), 2));
}

/// Wherever the program is started: a file that is looked for in the working folder is found by chance.
#[test]
fn paths_are_relative_to_the_configurations_folder() {
    let folder = tempfile::tempdir().unwrap();
    let own = "about = 'ours'\nbody = '{}'\nexpect = 'status == 200'\n";
    std::fs::write(folder.path().join("own.toml"), own).unwrap();
    std::fs::write(folder.path().join("word"), "hush\n").unwrap();
    let text = "[[tell]]\nkind = 'file'\nname = 'f'\npath = 'events.jsonl'\n\
        [[tell]]\nkind = 'syslog'\nname = 's'\naddress = 'siem.example:6514'\ntls = { ca = 'ca.pem' }\n\
        [[tell]]\nkind = 'chat'\nname = 'c'\ntemplate = 'own.toml'\nurl = { file = 'word' }\n\
        [[tell]]\nkind = 'chat'\nname = 'd'\ntemplate = 'slack'\nurl = { env = 'SLACK' }\n\
        [[tell]]\nkind = 'webhook'\nname = 'w'\nurl = 'https://siem.example/'\nkey = { file = '/run/secrets/key' }\n\
        authorization = { file = 'word' }\ntls = { certificate = 'c.pem', key = 'k.pem' }\n";
    let mut config = read(text).unwrap();
    assert!(config.check().is_err(), "`own.toml` is not in the working folder");
    config.resolve(folder.path());
    config.check().unwrap();
    let [
        SinkConfig::File(file),
        SinkConfig::Syslog(syslog),
        SinkConfig::Chat(own),
        SinkConfig::Chat(shipped),
        SinkConfig::Webhook(webhook),
    ] = &config.sinks[..]
    else {
        panic!("{:?}", config.sinks)
    };
    let there = |name: &str| folder.path().join(name);
    assert_eq!(file.path, there("events.jsonl"));
    assert_eq!(syslog.tls.ca, Some(there("ca.pem")));
    assert_eq!(own.url.read().unwrap(), "hush");
    assert_eq!(shipped.template, "slack");
    assert!(format!("{:?}", webhook.key).contains("`/run/secrets/key`"));
    assert_eq!(webhook.authorization.as_ref().unwrap().read().unwrap(), "hush");
    assert_eq!((&webhook.tls.certificate, &webhook.tls.key), (&Some(there("c.pem")), &Some(there("k.pem"))));
}
