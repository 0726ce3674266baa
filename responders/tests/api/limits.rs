//! What callers may cost: failures, bytes, time, connections.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use responders::rights::{Role, TokenText};

use crate::support::{Site, connect, eventually, read, request, send};

#[test]
fn after_ten_failures_there_is_no_answer_for_a_minute_but_to_the_right_token() {
    let site = Site::new();
    let wrong = TokenText::new().unwrap();
    for _ in 0..10 {
        assert_eq!(site.call("GET", "/v1/health", Some(wrong.reveal()), None).status, 401);
    }
    for _ in 0..5 {
        let answer = site.call("GET", "/v1/health", Some(wrong.reveal()), None);
        assert_eq!(answer.status, 429, "{answer:?}");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        assert!(answer.error().contains("too many calls without a valid token"));
    }
    let statuses: Vec<_> = site.desk.calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [[401; 10].as_slice(), &[429]].concat(), "one entry tells of the first that was too many");

    let right = site.as_role(Role::Responder, "PUT", "/v1/stop", None);
    assert_eq!(right.status, 202, "others' failures keep nobody from stopping everything");
    assert_eq!(site.desk.calls().last().unwrap().unrecorded, 4, "the others are counted");
    site.as_role(Role::Viewer, "GET", "/v1/health", None);
    assert_eq!(site.desk.calls().last().unwrap().unrecorded, 0, "once");
}

#[test]
fn a_body_of_64_kib_and_not_a_byte_more() {
    let site = Site::new();
    let body = |length: usize| format!("{{}}{}", " ".repeat(length - 2));
    let answer = site.as_role(Role::Responder, "PUT", "/v1/stop", Some(&body(64 * 1024)));
    assert_eq!(answer.status, 202, "{answer:?}");
    let answer = site.as_role(Role::Responder, "PUT", "/v1/stop", Some(&body(64 * 1024 + 1)));
    assert_eq!(answer.status, 413, "{answer:?}");
    answer.error();

    let authorization =
        format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", site.texts[&Role::Responder]);
    let head = request("PUT", "/v1/stop", &format!("{authorization}Transfer-Encoding: chunked\r\n"), None);
    let chunks = format!("10000\r\n{}\r\n", " ".repeat(0x10000)).repeat(4);
    assert_eq!(send(site.address(), &format!("{head}{chunks}0\r\n\r\n")).status, 413, "nor in pieces");
    assert_eq!(site.desk.commands().len(), 1);
}

#[test]
fn who_says_nothing_or_says_it_slowly_is_hung_up_on() {
    let site = Site::with(|config| config.read_seconds = 1);
    let begun = Instant::now();
    let mut silent = connect(site.address());
    let mut slow = connect(site.address());
    slow.write_all(b"GET /v1/health HTTP/1.1\r\nHost: ").unwrap();
    let mut idle = connect(site.address());
    let token = &site.texts[&Role::Responder];
    let open = request("GET", "/v1/health", &format!("Authorization: Bearer {token}\r\n"), None)
        .replace("close", "keep-alive");
    idle.write_all(open.as_bytes()).unwrap();
    let mut half = connect(site.address());
    let whole = request("PUT", "/v1/stop", &format!("Authorization: Bearer {token}\r\n"), Some(r#"{"note":"x"}"#));
    half.write_all(&whole.as_bytes()[..whole.len() - 3]).unwrap();

    let dripping = std::thread::spawn(move || {
        // A letter at a time does not help.
        while slow.write_all(b"a").is_ok() && begun.elapsed() < Duration::from_secs(8) {
            std::thread::sleep(Duration::from_millis(100));
        }
        begun.elapsed()
    });
    let mut answer = Vec::new();
    assert_eq!(silent.read_to_end(&mut answer).unwrap_or(0), 0, "{answer:?}");
    assert_eq!(read(half).status, 408);
    let mut answered = String::new();
    idle.read_to_string(&mut answered).unwrap();
    assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
    assert!(dripping.join().unwrap() < Duration::from_secs(6));
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert!(site.desk.commands().is_empty());
}

#[test]
fn more_connections_than_allowed_are_hung_up_on_and_places_come_back() {
    let site = Site::with(|config| config.max_connections = 4);
    let token = &site.texts[&Role::Viewer];
    let once = request("GET", "/v1/health", &format!("Authorization: Bearer {token}\r\n"), None);
    let open = once.replace("close", "keep-alive");
    let inside = || {
        let mut stream = connect(site.address());
        stream.write_all(open.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        stream
    };
    let held: Vec<_> = (0..4).map(|_| inside()).collect();
    for _ in 0..3 {
        let mut further = connect(site.address());
        let answer = further.read(&mut [0; 1]);
        assert!(matches!(answer, Ok(0)) || answer.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    }
    drop(held);
    eventually("a place is free again", || {
        let mut stream = connect(site.address());
        let mut answer = String::new();
        stream.write_all(once.as_bytes()).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200")
    });
}

#[test]
fn a_desk_that_takes_too_long_is_not_waited_for_and_does_not_pile_up_threads() {
    let site = Arc::new(Site::with(|config| {
        config.answer_seconds = 1;
        config.max_calls = 2;
    }));
    site.desk.holds.store(true, Ordering::SeqCst);
    let ask = |_: u32| {
        let site = Arc::clone(&site);
        std::thread::spawn(move || site.as_role(Role::Viewer, "GET", "/v1/mode", None).status)
    };
    let mut asking: Vec<_> = (0..2).map(ask).collect();
    eventually("both places are taken", || site.desk.filters.lock().unwrap().len() == 2);
    asking.extend((0..2).map(ask));
    let statuses: Vec<_> = asking.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(statuses, [504, 504, 503, 503], "two are asked, two find no place");
    assert_eq!(site.desk.filters.lock().unwrap().len(), 2);
    eventually("all four are in the audit", || site.desk.calls().len() == 4);
    site.desk.holds.store(false, Ordering::SeqCst);
    eventually("it answers again", || site.as_role(Role::Viewer, "GET", "/v1/mode", None).status == 200);
}

#[test]
fn stopping_finishes_what_was_asked_and_takes_nothing_more() {
    let site = Site::new();
    *site.desk.takes.lock().unwrap() = Duration::from_millis(300);
    let (address, desk) = (site.address(), Arc::clone(&site.desk));
    let text = request("PUT", "/v1/stop", &format!("Authorization: Bearer {}\r\n", site.texts[&Role::Responder]), None);
    let mut asked = connect(address);
    asked.write_all(text.as_bytes()).unwrap();
    eventually("it is with the desk", || desk.begun.load(Ordering::SeqCst) == 1);
    site.server.stop(Duration::from_secs(5));
    assert_eq!(read(asked).status, 202);
    assert_eq!((desk.commands().len(), desk.calls().len()), (1, 1));
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn requests_that_cannot_be_are_told_why() {
    let site = Site::new();
    let long = "x".repeat(1001);
    let wrong = [
        ("GET", "/v1/actions?stat=applied", None, "unknown field `stat`"),
        ("GET", "/v1/actions?state=gone", None, "unknown variant `gone`"),
        ("GET", "/v1/actions?limit=0", None, "`limit` is `0`, expected 1 to 500"),
        ("GET", "/v1/actions?limit=501", None, "expected 1 to 500"),
        ("GET", "/v1/actions?device=a%00b", None, "`device` is `a\\u{0}b`"),
        ("GET", "/v1/incidents/stats?since=yesterday", None, "`yesterday` is no instant"),
        ("GET", "/v1/incidents/stats?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", None, "not before"),
        ("GET", "/v1/actions/%0a", None, "the id of the path is `\\n`"),
        ("POST", "/v1/actions/a/approve", Some(r#"{"notes":"x"}"#), "unknown field `notes`"),
        ("POST", "/v1/actions/a/approve", Some("{"), "parse"),
        ("POST", "/v1/actions/a/approve", Some(&format!(r#"{{"note":"{long}"}}"#)), "`note` has `1001` characters"),
        ("POST", "/v1/actions/a/approve", Some(r#"{"note":"\u001b[2J"}"#), "no control characters"),
        ("POST", "/v1/actions/a/extend", Some("{}"), "exactly one of `until` and `for_seconds`"),
        ("POST", "/v1/actions/a/extend", Some(r#"{"until":"2025-12-31T00:00:00Z"}"#), "which is past"),
        ("POST", "/v1/actions/a/extend", Some(r#"{"for_seconds":0}"#), "not `0`"),
        ("PUT", "/v1/mode", Some(r#"{"mode":"yolo"}"#), "unknown variant `yolo`"),
        ("PUT", "/v1/mode", Some(r#"{"mode":"auto","gateway":"a","playbook":"b"}"#), "both given"),
        ("POST", "/v1/verdicts", Some(r#"{"verdict":"true"}"#), "exactly one of `incident` and `finding`"),
        ("POST", "/v1/verdicts", Some(r#"{"verdict":"false","incident":"i","scope":"device"}"#), "needs `expires`"),
        (
            "POST",
            "/v1/verdicts",
            Some(r#"{"verdict":"false","incident":"i","scope":"site","expires":"2020-01-01T00:00:00Z"}"#),
            "`expires` is `2020-01-01T00:00:00Z`, which is past",
        ),
    ];
    for (method, path, body, why) in wrong {
        let answer = site.as_role(Role::Administrator, method, path, body);
        assert_eq!(answer.status, 400, "{method} {path}: {answer:?}");
        assert!(answer.error().contains(why), "{method} {path}: {answer:?}");
    }
    let token = &site.texts[&Role::Administrator];
    let plain = "POST /v1/verdicts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: text/plain\r\n";
    let plain = format!("{plain}Authorization: Bearer {token}\r\nContent-Length: 2\r\n\r\n{{}}");
    assert_eq!(send(site.address(), &plain).status, 415);
    for key in ["", "a b", &"k".repeat(65), "é"] {
        let headers = format!("Authorization: Bearer {token}\r\nIdempotency-Key: {key}\r\n");
        assert_eq!(send(site.address(), &request("PUT", "/v1/stop", &headers, None)).status, 400, "{key}");
    }
    assert!(site.desk.commands().is_empty() && site.desk.filters.lock().unwrap().is_empty());
}
