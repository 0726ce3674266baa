//! Files and webhooks.

use std::fs;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fleet::Severity;
use responders::gateways::FailureKind;
use responders::signature;
use responders::tell::{Sink, SinkConfig, sinks};
use serde_json::Value;

use crate::receivers::{PATIENCE, Web, answer};
use crate::sample::finding;
use crate::syslog::{messages, sink};

fn lines(path: &std::path::Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_file_is_rotated_by_size_and_so_many_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let mut sink = sink(&format!("kind = 'file'\nname = 'f'\npath = '{}'\nmax_bytes = 8192\nkeep = 3", path.display()));
    let mut sent = Vec::new();
    for number in 0..40 {
        let message = messages(&finding("camera-01", &format!("i{number}"), Severity::High)).remove(0);
        sink.send(&message).unwrap();
        sent.push(message.event.clone());
    }
    let mut files: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, ["events.jsonl", "events.jsonl.1", "events.jsonl.2", "events.jsonl.3"]);
    let mut kept = Vec::new();
    for name in ["events.jsonl.3", "events.jsonl.2", "events.jsonl.1", "events.jsonl"] {
        let file = folder.path().join(name);
        assert!(fs::metadata(&file).unwrap().len() <= 8192);
        kept.extend(lines(&file));
    }
    assert!(kept.len() < sent.len());
    assert_eq!(kept, sent[sent.len() - kept.len()..], "the latest, in order, none missing");
}

#[test]
fn a_line_that_was_half_written_spoils_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(b"{\"whole\":1}\n{\"half").unwrap();
    let text = format!("kind = 'file'\nname = 'f'\npath = '{}'", path.display());
    let message = messages(&finding("camera-01", "i1", Severity::High)).remove(0);
    sink(&text).send(&message).unwrap();
    sink(&text).send(&message).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[1]), (4, "{\"half"));
    assert_eq!(serde_json::from_str::<Value>(lines[3]).unwrap(), message.event);
}

#[test]
fn a_folder_that_is_not_there_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later/events.jsonl");
    let mut sink = sink(&format!("kind = 'file'\nname = 'f'\npath = '{}'", path.display()));
    let message = messages(&finding("camera-01", "i1", Severity::High)).remove(0);
    assert!(sink.send(&message).unwrap_err().retry());
    fs::create_dir(path.parent().unwrap()).unwrap();
    sink.send(&message).unwrap();
    assert_eq!(lines(&path).len(), 1);
}

fn webhook(url: &str, folder: &std::path::Path) -> Box<dyn Sink> {
    fs::write(folder.join("key"), "a secret that is shared\n").unwrap();
    sink(&format!(
        "kind = 'webhook'\nname = 'w'\nurl = '{url}'\nkey = {{ file = '{}' }}\nauthorization = 'Bearer x'\nlimit_seconds = 2",
        folder.join("key").display()
    ))
}

#[test]
fn a_webhook_is_signed_and_nothing_of_it_can_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let web = Web::start(|_| answer("204 No Content", "", ""));
    let message = messages(&finding("camera-01", "i1", Severity::High)).remove(1);
    webhook(&web.url("/in"), folder.path()).send(&message).unwrap();
    let request = web.requests.recv_timeout(PATIENCE).unwrap();
    assert!(request.head.starts_with("POST /in HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("x-vedette-id"), Some(message.key.as_str()));
    assert_eq!(request.header("x-vedette-event"), Some("finding"));
    assert_eq!(request.header("authorization"), Some("Bearer x"));
    assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), message.event);
    let header = request.header("x-vedette-signature").unwrap();
    #[expect(clippy::disallowed_methods, reason = "whoever verifies has a clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let right = |key: &[u8], header: &str, body: &[u8], now| signature::check(key, header, body, now).is_ok();
    let key = b"a secret that is shared";
    assert!(right(key, header, &request.body, now));
    assert!(!right(b"another secret", header, &request.body, now));
    assert!(!right(key, header, &request.body, now + 400), "old ones are not used again");
    assert!(!right(key, &header.replacen("t=1", "t=2", 1), &request.body, now));
    let mut changed = request.body.clone();
    changed[10] ^= 1;
    assert!(!right(key, header, &changed, now));
    for nonsense in ["", "t=", "t=1,v1=", "t=x,v1=00", "t=1,v1=0", "t=1,v1=éé", "v1=00,t=1"] {
        assert!(!right(key, nonsense, &request.body, 1), "{nonsense}");
    }
}

#[test]
fn a_key_that_can_be_guessed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let open = |key: &str, authorization: &str| {
        fs::write(folder.path().join("key"), key).unwrap();
        fs::write(folder.path().join("token"), authorization).unwrap();
        let path = folder.path().display();
        let text = format!(
            "kind = 'webhook'\nname = 'w'\nurl = 'https://w.example'\nkey = {{ file = '{path}/key' }}\nauthorization = {{ file = '{path}/token' }}"
        );
        sinks::open(&toml::from_str::<SinkConfig>(&text).unwrap()).err().map(|error| error.to_string())
    };
    assert_eq!(open("0123456789abcdef", "Bearer x"), None);
    for (key, token) in [("hush", "Bearer x"), ("0123456789abcdef", "Bearer hush\u{e9}\nhush")] {
        let error = open(key, token).unwrap();
        assert!(error.contains("responders.tell `w`") && !error.contains("hush"), "{error}");
    }
}

/// HMAC-SHA256 of `1767225600.{}` under `key`, made with `openssl dgst -sha256 -hmac key`.
#[test]
fn others_compute_the_same_signature() {
    let expected = "t=1767225600,v1=df344de429b8ee672e1863e0008fdbd0080000536fbccdf0e4f89846acbbe872";
    assert_eq!(signature::sign(b"key", 1_767_225_600, b"{}"), expected);
}

#[test]
fn what_a_webhook_answers_decides_what_comes_next() {
    let folder = tempfile::tempdir().unwrap();
    let web = Web::start(|number| match number {
        0 => answer("429 Too Many Requests", "Retry-After: 7\r\n", "slow down"),
        1 => answer("500 Internal Server Error", "", "oh"),
        2 => answer("401 Unauthorized", "", ""),
        3 => answer("422 Unprocessable", "", "no\nsuch field"),
        4 => answer("302 Found", "Location: http://127.0.0.1:9/elsewhere\r\n", ""),
        5 => String::new(),
        _ => answer("200 OK", "", "ok"),
    });
    let mut sink = webhook(&web.url("/in"), folder.path());
    let message = messages(&finding("camera-01", "i1", Severity::High)).remove(0);
    let mut failure = || sink.send(&message).unwrap_err();
    let busy = failure();
    assert_eq!((busy.kind, busy.retry_after), (FailureKind::Busy, Some(Duration::from_secs(7))));
    assert!(failure().retry());
    assert_eq!(failure().kind, FailureKind::Unauthorised);
    let refused = failure();
    assert_eq!((refused.retry(), refused.message.as_str()), (false, "status 422: no such field"));
    assert!(!failure().retry(), "a signed message is not taken elsewhere");
    assert!(failure().retry());
    sink.send(&message).unwrap();
}

#[test]
fn an_address_that_is_a_secret_is_never_said() {
    let folder = tempfile::tempdir().unwrap();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let open = |url: &str| {
        fs::write(folder.path().join("url"), url).unwrap();
        let text = format!(
            "kind = 'chat'\nname = 'c'\ntemplate = 'slack'\nurl = {{ file = '{}' }}\nlimit_seconds = 1",
            folder.path().join("url").display()
        );
        sinks::open(&toml::from_str::<SinkConfig>(&text).unwrap())
    };
    let mut sink = open(&format!("http://{gone}/T000/B000/hush")).unwrap().unwrap();
    let message = messages(&finding("camera-01", "i1", Severity::High)).remove(0);
    let failure = sink.send(&message).unwrap_err();
    assert!(failure.retry() && !failure.message.contains("hush"), "{failure}");
    for url in ["http://chat.example/hush", "hush", "ftp://127.0.0.1/hush"] {
        let error = open(url).err().unwrap().to_string();
        assert!(error.contains("responders.tell `c`") && !error.contains("hush"), "{error}");
    }
}
