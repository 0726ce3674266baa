//! The client of the commands: every call of it arrives, and what it says when one does not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use fleet::Secret;
use fleet::{Mode, State};
use responders::api::Command;
use responders::api::client::{Client, ClientConfig};
use responders::api::command::{ExtendRequest, ModeRequest, Verdict, VerdictRequest, VerdictScope};
use responders::api::views::{ActionFilter, IncidentFilter, StatsFilter, VerdictFilter};
use responders::rights::{Moment, Role};

use crate::support::{ACTION, Site, action, at};

fn client(site: &Site, role: Role, address: SocketAddr) -> Client {
    let token = site.folder.path().join(format!("{role}.token"));
    std::fs::write(&token, format!("{}\n", site.texts[&role])).unwrap();
    let url = format!("http://{address}");
    Client::new(&ClientConfig { url, token: Some(Secret::File(token)), ca: None }).unwrap()
}

#[test]
fn all_that_can_be_looked_at() {
    let site = Site::new();
    let client = client(&site, Role::Administrator, site.address());
    let filter = ActionFilter {
        state: Some(State::Applied),
        device: Some("a b&c=d".to_owned()),
        limit: Some(7),
        ..ActionFilter::default()
    };
    let actions = client.actions(&filter).unwrap();
    assert_eq!((actions.actions, actions.next.as_deref()), (vec![action()], Some("2")));
    assert_eq!(site.desk.filters.lock().unwrap().last().unwrap(), &format!("{filter:?}"));
    assert_eq!(client.action(ACTION).unwrap().history.len(), 1);

    let filter = IncidentFilter { open: Some(true), ..IncidentFilter::default() };
    assert_eq!(client.incidents(&filter).unwrap().incidents[0].seconds_to_detect, Some(61.5));
    assert_eq!(site.desk.filters.lock().unwrap().last().unwrap(), &format!("{filter:?}"));
    assert_eq!(client.incident("inc-1").unwrap().actions, [action()]);
    let filter = StatsFilter { since: Some(Moment(at("2026-01-01T00:00:00.5Z"))), until: None };
    assert_eq!(client.incident_stats(&filter).unwrap().isolate.p95, Some(1.2));
    assert_eq!(site.desk.filters.lock().unwrap().last().unwrap(), &format!("{filter:?}"));
    let verdict = &client.verdicts(&VerdictFilter::default()).unwrap().verdicts[0];
    assert_eq!((verdict.applies_to.as_deref(), verdict.kept_back), (Some("pump"), 4));
    assert_eq!(client.playbooks().unwrap().playbooks[0].id, "isolate");
    assert_eq!(client.mode().unwrap().gateways["broker"], Mode::Auto);
    assert_eq!(client.health().unwrap().journal.unwrap().entry, 9);
    assert_eq!(client.tokens().unwrap().tokens.len(), 4);
}

#[test]
fn all_that_can_be_asked_for() {
    let site = Site::new();
    let client = client(&site, Role::Administrator, site.address());
    let note = "why".to_owned();
    let action_id = ACTION.to_owned();
    let verdict = VerdictRequest {
        incident: Some("inc-1".to_owned()),
        finding: None,
        verdict: Verdict::BenignChange,
        scope: VerdictScope::DeviceType,
        expires: Some(Moment(at("2026-02-01T00:00:00Z"))),
        note: note.clone(),
        preview: false,
    };
    let until = Moment(at("2026-01-01T06:00:00Z"));
    client.approve(ACTION, "why").unwrap();
    client.deny(ACTION, "why").unwrap();
    client.release(ACTION, "why").unwrap();
    client.extend(ACTION, &ExtendRequest { until: Some(until), for_seconds: None, note: note.clone() }).unwrap();
    client.extend(ACTION, &ExtendRequest { until: None, for_seconds: Some(21_600), note: note.clone() }).unwrap();
    client.set_mode(Mode::Auto, Some("broker"), None, "why").unwrap();
    client.set_mode(Mode::Observe, None, None, "why").unwrap();
    client.stop("why").unwrap();
    client.resume("why").unwrap();
    client.give_verdict(&verdict).unwrap();
    let extended = Command::Extend { action_id: action_id.clone(), until, note: note.clone() };
    let mode = |mode: Mode, gateway: Option<&str>| {
        Command::SetMode(ModeRequest { mode, gateway: gateway.map(str::to_owned), playbook: None, note: note.clone() })
    };
    let expected = [
        Command::Approve { action_id: action_id.clone(), note: note.clone() },
        Command::Deny { action_id: action_id.clone(), note: note.clone() },
        Command::Release { action_id, note: note.clone() },
        extended.clone(),
        extended,
        mode(Mode::Auto, Some("broker")),
        mode(Mode::Observe, None),
        Command::Stop { note: note.clone() },
        Command::Resume { note: note.clone() },
        Command::Verdict(verdict),
    ];
    let commands = site.desk.commands();
    assert_eq!(commands.iter().map(|(_, command)| command.clone()).collect::<Vec<_>>(), expected);
    let keys: std::collections::BTreeSet<_> = commands.iter().map(|(asked, _)| asked.idempotency_key.clone()).collect();
    assert_eq!(keys.len(), expected.len(), "each has a key of its own");
}

#[test]
fn a_preview_is_answered_and_commands_nothing() {
    let site = Site::new();
    let client = client(&site, Role::Analyst, site.address());
    let request = VerdictRequest {
        incident: Some("inc-1".to_owned()),
        finding: None,
        verdict: Verdict::False,
        scope: VerdictScope::Device,
        expires: Some(Moment(at("2026-02-01T00:00:00Z"))),
        note: String::new(),
        preview: true,
    };
    let answer = client.give_verdict(&request).unwrap();
    let preview = answer.preview.unwrap();
    assert_eq!((preview.findings, preview.incidents, preview.devices), (12, 3, 2));
    assert_eq!((preview.hides_true_incidents, answer.entry), (vec!["inc-0".to_owned()], None));
    assert_eq!(site.desk.commands(), []);
    client.give_verdict(&VerdictRequest { preview: false, ..request.clone() }).unwrap();
    assert_eq!(site.desk.commands().len(), 1);
    let unending = client.give_verdict(&VerdictRequest { expires: None, ..request }).unwrap_err();
    assert!(unending.message.contains("`expires`"), "{unending}");
}

#[test]
fn refusals_say_what_to_do() {
    let site = Site::new();
    let viewer = client(&site, Role::Viewer, site.address());
    let refused = viewer.approve(ACTION, "").unwrap_err();
    assert_eq!(refused.status, Some(403));
    let message = "the token `the-viewer` has role viewer; `POST /v1/actions/{id}/approve` needs responder; ask somebody \
                   with that role, or an administrator for another token";
    assert_eq!(refused.to_string(), message);
    let missing = viewer.action("none").unwrap_err();
    assert_eq!((missing.status, missing.retry()), (Some(404), false));

    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = client(&site, Role::Viewer, address).health().unwrap_err();
    assert!(nobody.message.contains(&format!("`http://{address}/` does not answer")) && nobody.retry(), "{nobody}");
    assert!(!nobody.to_string().contains(&site.texts[&Role::Viewer]), "{nobody}");
}

/// Passes one connection on and loses its answer; passes on the next as it is.
#[test]
fn an_answer_that_was_lost_does_not_command_twice() {
    let site = Site::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (between, server) = (listener.local_addr().unwrap(), site.address());
    let passing = std::thread::spawn(move || {
        for loses in [true, false] {
            let (mut outside, _) = listener.accept().unwrap();
            let mut inside = TcpStream::connect(server).unwrap();
            let mut request = [0; 4096];
            let length = outside.read(&mut request).unwrap();
            let text = String::from_utf8(request[..length].to_vec()).unwrap();
            inside.write_all(text.replacen("\r\n", "\r\nconnection: close\r\n", 1).as_bytes()).unwrap();
            let mut answer = Vec::new();
            inside.read_to_end(&mut answer).unwrap();
            if !loses {
                outside.write_all(&answer).unwrap();
            }
        }
    });
    let outcome = client(&site, Role::Responder, between).release(ACTION, "").unwrap();
    passing.join().unwrap();
    assert!(outcome.repeated, "{outcome:?}");
    assert_eq!(site.desk.commands().len(), 1);
    assert_eq!(site.desk.calls().len(), 2);
}
