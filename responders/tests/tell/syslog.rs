//! Syslog: RFC 5424 to the letter, over real TLS, TCP and UDP.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleet::{Mode, Severity, State};
use responders::tell::{Names, Outgoing, Reporter, Sink, SinkConfig, TellConfig, Teller, sinks};
use serde_json::Value;

use crate::receivers::{Certificates, Collector, closed};
use crate::sample::{at, change, device, finding, names};
use crate::validator::faults;

pub fn messages(of: &fleet::Finding) -> Vec<Arc<Outgoing>> {
    let all: TellConfig = toml::from_str::<toml::Table>("tell = [{ kind = 'file', name = 'f', path = 'f' }]").unwrap()
        ["tell"]
        .clone()
        .try_into()
        .unwrap();
    let mut teller = Teller::new(Reporter::default(), &all);
    let mut told = teller.finding(of, Some(&device("camera-01")), &names(), at(0));
    let change = change("a1", &of.incident_id, Some(State::Applied), State::Verified, Mode::Auto);
    told.extend(teller.change(&change, None, &Names::new(), at(30)));
    told.into_iter().map(|addressed| addressed.message).collect()
}

pub fn sink(text: &str) -> Box<dyn Sink> {
    let config: SinkConfig = toml::from_str(text).unwrap();
    sinks::open(&config).unwrap().unwrap()
}

struct Parsed {
    priority: u16,
    fields: Vec<String>,
    parameters: Vec<(String, String)>,
    text: String,
}

/// Strict: one space between fields, nothing unescaped, nothing left over.
fn parse(message: &str) -> Parsed {
    let (priority, rest) = message.strip_prefix('<').unwrap().split_once(">1 ").unwrap();
    let mut parts = rest.splitn(6, ' ');
    let fields: Vec<String> = parts.by_ref().take(5).map(str::to_owned).collect();
    let mut rest = parts.next().unwrap().strip_prefix("[vedette@32473").unwrap();
    let mut parameters = Vec::new();
    while let Some(parameter) = rest.strip_prefix(' ') {
        let (name, value) = parameter.split_once("=\"").unwrap();
        let mut read = String::new();
        let mut letters = value.char_indices();
        let end = loop {
            match letters.next().expect("the value ends") {
                (at, '"') => break at,
                (_, '\\') => read.push(letters.next().unwrap().1),
                (_, ']') => panic!("an unescaped bracket in {value}"),
                (_, letter) => {
                    assert!(!letter.is_control(), "{letter:?}");
                    read.push(letter);
                }
            }
        };
        parameters.push((name.to_owned(), read));
        rest = &value[end + 1..];
    }
    let text = rest.strip_prefix("] ").unwrap().to_owned();
    Parsed { priority: priority.parse().unwrap(), fields, parameters, text }
}

fn value<'a>(parsed: &'a Parsed, name: &str) -> &'a str {
    parsed.parameters.iter().find(|(parameter, _)| parameter == name).map_or("", |(_, value)| value)
}

#[test]
fn over_tls_with_both_sides_known() {
    let Some(certificates) = Certificates::make() else { return };
    let collector = Collector::start(Some(certificates.server()), 100);
    let text = format!(
        "kind = 'syslog'\nname = 'siem'\naddress = '127.0.0.1:{}'\nhostname = 'sensor one'\nfacility = 'authpriv'\nmax_bytes = 65536\n{}",
        collector.address.port(),
        certificates.toml(&certificates.path("ca.pem"))
    );
    let mut sink = sink(&text);
    let sent = messages(&finding("cam \"2\" ]\\\n<1>", "i1", Severity::Critical));
    for message in &sent {
        sink.send(message).unwrap();
    }
    for message in &sent {
        let parsed = parse(&collector.next());
        assert_eq!(parsed.priority, 10 * 8 + 2);
        assert_eq!(parsed.fields[0], message.at.to_string());
        assert_eq!(parsed.fields[1..3], ["sensorone", "vedette"]);
        assert_eq!(parsed.fields[4], message.kind.name());
        assert_eq!(value(&parsed, "id"), message.key);
        assert_eq!(value(&parsed, "incident"), "i1");
        assert_eq!(value(&parsed, "device"), message.device_id.replace('\n', " "));
        let event: Value = serde_json::from_str(&parsed.text).unwrap();
        assert_eq!(event, message.event);
        assert_eq!(faults(&event), Vec::<String>::new());
    }
}

#[test]
fn a_collector_of_another_authority_gets_nothing() {
    let (Some(ours), Some(theirs)) = (Certificates::make(), Certificates::make()) else { return };
    let collector = Collector::start(Some(theirs.server()), 100);
    let text = format!(
        "kind = 'syslog'\nname = 'siem'\naddress = '127.0.0.1:{}'\n{}",
        collector.address.port(),
        ours.toml(&ours.path("ca.pem"))
    );
    let failure = sink(&text).send(&messages(&finding("c", "i1", Severity::High))[0]).unwrap_err();
    assert!(failure.retry() && failure.message.contains("certificate"), "{failure}");
    assert!(collector.messages.try_recv().is_err());
}

/// In TLS 1.3 the client's side is done before the collector has seen its certificate.
#[test]
fn whom_the_collector_does_not_know_is_told_so() {
    let (Some(ours), Some(theirs)) = (Certificates::make(), Certificates::make()) else { return };
    let collector = Collector::start(Some(ours.server()), 100);
    let address = format!("kind = 'syslog'\nname = 'siem'\naddress = '127.0.0.1:{}'\n", collector.address.port());
    let nobody = format!("{address}tls = {{ ca = '{}' }}", ours.path("ca.pem").display());
    let stranger = address + &theirs.toml(&ours.path("ca.pem"));
    for text in [nobody, stranger] {
        let mut sink = sink(&text);
        for message in messages(&finding("c", "i1", Severity::High)) {
            let failure = sink.send(&message).unwrap_err();
            assert!(failure.retry(), "{failure}");
        }
    }
    assert!(collector.messages.try_recv().is_err());
}

#[test]
fn a_connection_the_collector_closed_loses_nothing() {
    let Some(certificates) = Certificates::make() else { return };
    for tls in [None, Some(certificates.server())] {
        let transport = if tls.is_some() { "tls" } else { "tcp" };
        let collector = Collector::start(tls, 2);
        let text = format!(
            "kind = 'syslog'\nname = 'siem'\naddress = '127.0.0.1:{}'\ntransport = '{transport}'\n{}",
            collector.address.port(),
            certificates.toml(&certificates.path("ca.pem"))
        );
        let mut sink = sink(&text);
        for number in 0..6 {
            let message = &messages(&finding("c", &format!("i{number}"), Severity::High))[0];
            sink.send(message).unwrap();
            assert_eq!(value(&parse(&collector.next()), "incident"), format!("i{number}"));
            // Until the end of the connection has arrived.
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

#[test]
fn over_udp_an_event_that_is_too_long_stays_whole() {
    let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
    collector.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut of = finding("größer-摄像机", "i1", Severity::Low);
    of.explanation = "schön ".repeat(2000);
    let message = messages(&of).remove(1);
    for max_bytes in [480, 2048, 8192, 60_000] {
        let text = format!(
            "kind = 'syslog'\nname = 's'\naddress = '{}'\ntransport = 'udp'\nmax_bytes = {max_bytes}\nhostname = 'h'",
            collector.local_addr().unwrap()
        );
        sink(&text).send(&message).unwrap();
        let mut datagram = vec![0; 65_536];
        let length = collector.recv(&mut datagram).unwrap();
        assert!(length <= max_bytes, "{length}");
        let parsed = parse(std::str::from_utf8(&datagram[..length]).unwrap());
        assert_eq!(parsed.priority, 16 * 8 + 5);
        if max_bytes >= 2048 {
            let event: Value = serde_json::from_str(&parsed.text).unwrap();
            assert_eq!(faults(&event), Vec::<String>::new());
            assert_eq!(event["finding_info"]["uid"], message.event["finding_info"]["uid"]);
            assert_eq!(event.get("evidences").is_some(), max_bytes == 60_000, "{max_bytes}");
        } else {
            assert_eq!(parsed.text, message.title, "no room for an event: its title");
        }
    }
}

#[test]
fn nobody_and_the_silent_end_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let message = &messages(&finding("c", "i1", Severity::High))[0];
    for address in [silent.local_addr().unwrap(), closed(1)] {
        let text = format!("kind = 'syslog'\nname = 's'\naddress = '{address}'\nlimit_seconds = 1\n");
        let began = Instant::now();
        let failure = sink(&text).send(message).unwrap_err();
        assert!(failure.retry() && failure.message.contains(&address.to_string()), "{failure}");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}
