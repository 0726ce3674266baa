//! Every call is written down, whoever calls, however it ends; and no secret is.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use responders::api::Command;
use responders::rights::{Role, TokenText};

use crate::support::{ACTION, Site, connect, eventually, request, send};

#[test]
fn who_asked_for_what_and_what_came_of_it() {
    let site = Site::new();
    let path = "/v1/actions/act:pump-7%2Fquarantine/release";
    assert_eq!(site.as_role(Role::Responder, "POST", path, Some(r#"{"note":"it was a firmware"}"#)).status, 202);
    let id = TokenText::parse(&site.texts[&Role::Responder]).unwrap().id().to_owned();
    let calls = site.desk.calls();
    let call = calls.last().unwrap();
    let caller = call.caller.clone().unwrap();
    assert_eq!((caller.name.as_str(), caller.role, caller.token_id), ("the-responder", Role::Responder, Some(id)));
    assert_eq!(caller.peer.to_string(), "127.0.0.1");
    assert_eq!((call.route.as_str(), call.subject.as_deref()), ("/v1/actions/{id}/release", Some(ACTION)));
    let (asked, command) = site.desk.commands().pop().unwrap();
    assert_eq!(asked.caller.name, "the-responder");
    let released = Command::Release { action_id: ACTION.to_owned(), note: "it was a firmware".to_owned() };
    assert_eq!(command, released);
    let kept = serde_json::to_string(&command).unwrap();
    assert_eq!(serde_json::from_str::<Command>(&kept).unwrap(), released, "{kept}");
}

#[test]
fn what_is_refused_is_written_down_as_well() {
    let site = Site::with(|config| config.read_seconds = 1);
    site.as_role(Role::Viewer, "PUT", "/v1/stop", None);
    site.as_role(Role::Viewer, "GET", "/nowhere/at/all", None);
    site.as_role(Role::Viewer, "BREW", "/v1/stop", None);
    site.as_role(Role::Viewer, "GET", "/v1/actions?limit=0", None);
    site.as_role(Role::Viewer, "GET", "/v1/actions/none", None);
    site.as_role(Role::Responder, "PUT", "/v1/stop", Some(&" ".repeat(70_000)));
    site.as_role(Role::Responder, "POST", "/v1/actions/late/deny", None);
    site.call("GET", "/v1/health", None, None);
    let told: Vec<_> =
        site.desk.calls().iter().map(|call| (call.method.clone(), call.route.clone(), call.status)).collect();
    let expected = [
        ("PUT", "/v1/stop", 403),
        ("GET", "-", 404),
        ("OTHER", "/v1/stop", 405),
        ("GET", "/v1/actions", 400),
        ("GET", "/v1/actions/{id}", 404),
        ("PUT", "/v1/stop", 413),
        ("POST", "/v1/actions/{id}/deny", 409),
        ("GET", "/v1/health", 401),
    ];
    assert_eq!(told, expected.map(|(method, route, status)| (method.to_owned(), route.to_owned(), status)));
}

#[test]
fn whoever_hangs_up_is_in_it_all_the_same() {
    let site = Site::new();
    *site.desk.takes.lock().unwrap() = Duration::from_millis(300);
    let mut stream = connect(site.address());
    let headers = format!("Authorization: Bearer {}\r\n", site.texts[&Role::Responder]);
    stream.write_all(request("PUT", "/v1/stop", &headers, None).as_bytes()).unwrap();
    eventually("it is with the desk", || site.desk.begun.load(Ordering::SeqCst) == 1);
    drop(stream);
    eventually("the call is in the audit", || site.desk.calls().len() == 1);
    assert_eq!((site.desk.calls()[0].status, site.desk.commands().len()), (202, 1));
}

#[test]
fn what_cannot_be_written_down_is_not_shown() {
    let site = Site::new();
    *site.desk.cannot_record.lock().unwrap() = true;
    let look = site.as_role(Role::Viewer, "GET", "/v1/actions", None);
    assert_eq!(look.status, 503);
    assert!(look.error().contains("could not be written to the audit"));
    let command = site.as_role(Role::Responder, "PUT", "/v1/stop", None);
    assert_eq!(command.status, 202, "the command is an entry itself, and was carried out");
    assert_eq!(site.call("GET", "/v1/health", None, None).status, 401);
    *site.desk.cannot_record.lock().unwrap() = false;
    assert_eq!(site.as_role(Role::Viewer, "GET", "/v1/actions", None).status, 200);
    assert_eq!(site.desk.calls()[0].unrecorded, 3, "how many are missing is told once it can be");
}

#[test]
fn the_same_key_is_the_same_command() {
    let site = Site::new();
    let headers = format!("Authorization: Bearer {}\r\nIdempotency-Key: k-1\r\n", site.texts[&Role::Responder]);
    let text = request("PUT", "/v1/stop", &headers, None);
    let (first, second) = (send(site.address(), &text), send(site.address(), &text));
    assert_eq!((first.json()["repeated"].clone(), second.json()["repeated"].clone()), (false.into(), true.into()));
    assert_eq!(first.json()["entry"], second.json()["entry"]);
    let commands = site.desk.commands();
    assert_eq!(commands.len(), 1);
    assert_eq!(commands[0].0.idempotency_key.as_deref(), Some("k-1"));
}

#[test]
fn answers_are_kept_by_nobody() {
    let site = Site::new();
    let answers = [
        site.as_role(Role::Viewer, "GET", "/v1/actions", None),
        site.as_role(Role::Viewer, "GET", "/nowhere", None),
        site.call("GET", "/v1/actions", None, None),
    ];
    for answer in answers {
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'; frame-ancestors 'none'"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.header("strict-transport-security"), None, "only with TLS");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

/// All that this program logs, of any level, of any library.
fn log() -> &'static Mutex<Vec<u8>> {
    static LOG: OnceLock<Mutex<Vec<u8>>> = OnceLock::new();
    LOG.get_or_init(|| {
        struct Log;
        impl Write for Log {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                log().lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_writer(|| Log);
        tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
        Mutex::new(Vec::new())
    })
}

#[test]
fn no_token_is_in_logs_audit_or_answers() {
    log();
    let site = Site::new();
    let right = site.texts[&Role::Responder].clone();
    let wrong = TokenText::new().unwrap().reveal().to_owned();
    let mut answers = Vec::new();
    for token in [&right, &wrong] {
        let bearer = format!("Authorization: Bearer {token}\r\n");
        let by_key = format!("Authorization: Bearer {right}\r\nIdempotency-Key: {token}\r\n");
        let others = [
            request("GET", "/v1/health", &bearer, None),
            request("PUT", "/v1/mode", &bearer, Some("{")),
            request("GET", &format!("/v1/actions/{token}"), &bearer, None),
            request("GET", &format!("/{token}"), &bearer, None),
            request(token, "/v1/health", &bearer, None),
            request("PUT", "/v1/stop", &by_key.replace("vdt_", ""), None),
        ];
        answers.extend(others.iter().map(|text| send(site.address(), text)));
    }
    std::fs::write(&site.tokens, "[[token]]\nid = 1").unwrap();
    answers.push(site.call("GET", "/v1/health", Some(&right), None));
    assert_eq!(answers.last().unwrap().status, 503);

    let log = String::from_utf8(log().lock().unwrap().clone()).unwrap();
    assert!(log.contains("nobody can sign in"), "the log is looked at: {log}");
    let audit = serde_json::to_string(&site.desk.calls()).unwrap();
    for token in [&right, &wrong] {
        let secret = token.rsplit_once(TokenText::parse(token).unwrap().id()).unwrap().1;
        let secret = &secret[1..];
        assert!(!log.contains(secret), "{log}");
        assert!(!audit.contains(secret), "{audit}");
        // What the caller sent as an id comes back to the caller, and goes nowhere else.
        for answer in answers.iter().filter(|answer| answer.status != 404) {
            assert!(!format!("{answer:?}").contains(secret), "{answer:?}");
        }
    }
}
