//! How long the journal takes to be read at a start: `cargo run --release -p responders --example fold -- 100000`.
//!
//! It is read from its first entry by whoever begins, so this is what a takeover waits for beside the broker. Lives of actions
//! as they are: proposed, approved, applied, read back, let go by a person, with the calls of the API in between.

use std::time::Instant;

use fleet::{EventTime, FindingKind, Level, Mode, Severity, State};
use responders::book::Book;
use responders::gateways::Key;
use responders::journal::Chain;
use responders::journal::entry::{Body, Called, Command, Commanded, Move, Note, Noted, Proposal};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let entries: u64 = std::env::args().nth(1).map_or(Ok(100_000), |count| count.parse())?;
    let (mut chain, mut lines) = (Chain::default(), Vec::new());
    let mut number = 0;
    while chain.seq < entries {
        number += 1;
        for body in life(number) {
            let (entry, line) = chain.seal(EventTime(i64::try_from(chain.seq)? * 1_000), body)?;
            chain.follow(&entry);
            lines.push(line);
        }
    }
    let bytes: usize = lines.iter().map(String::len).sum();
    let (mut chain, mut book) = (Chain::default(), Book::default());
    let began = Instant::now();
    for line in &lines {
        book.fold(&chain.read(line)?);
    }
    let took = began.elapsed();
    let (count, mib) = (lines.len(), bytes >> 20);
    println!("{count} entries, {mib} MiB, {} actions: verified and folded in {took:.2?}", book.actions().count());
    Ok(())
}

fn life(number: u64) -> Vec<Body> {
    let id = format!("{number:032x}");
    let moved = |to, by: &str, reason: &str| Move::new(&id, to, by, reason);
    let mut applying = moved(State::Applying, "loop", "through `edge`");
    applying.gateway = Some("edge".into());
    applying.names = [(Key::Ip, "10.20.30.40".into()), (Key::Mac, "02:00:00:00:00:0a".into())].into();
    applying.until = Some(EventTime(1));
    let mut applied = moved(State::Applied, "loop", "the gateway took it");
    applied.receipt = Some(serde_json::json!({ "rule": number, "set": "quarantine" }));
    let command = Command::Release { action_id: id.clone(), reason: "it was the new firmware".to_owned() };
    let commanded = Commanded {
        command_id: format!("c{number}"),
        by: "anna".into(),
        command,
        note: String::new(),
        refused: None,
        offset: Some(number),
    };
    let moves = [
        moved(State::Approved, "policy", "mode auto"),
        applying,
        applied,
        moved(State::Verified, "loop", "read back from the gateway"),
        moved(State::Releasing, "anna", "it was the new firmware"),
        moved(State::Released, "loop", "it was the new firmware"),
    ];
    let undone = Noted::Undone { reason: "the gateway took it back".to_owned(), is_refused: false };
    let mut bodies = vec![Body::Proposed(Box::new(proposal(&id, number)))];
    bodies.extend(moves.into_iter().map(|moved| Body::Moved(Box::new(moved))));
    bodies.push(Body::Noted(Note { action_id: id.clone(), what: undone }));
    bodies.push(Body::Commanded(Box::new(commanded)));
    bodies.push(Body::Called(Called {
        by: "anna".into(),
        claimed: None,
        peer: "10.0.0.7".to_owned(),
        method: "POST".into(),
        route: "/v1/actions/{id}/release".to_owned(),
        subject: Some(id.clone()),
        status: 202,
        unrecorded: 0,
        offset: Some(number),
    }));
    bodies
}

fn proposal(id: &str, number: u64) -> Proposal {
    Proposal {
        action_id: id.to_owned(),
        incident_id: format!("incident-{number:024x}"),
        finding_id: format!("finding-{number:025x}"),
        device_id: format!("camera-{:06}", number % 5_000).into(),
        device_type: "camera".into(),
        site: "hall-7".into(),
        segment: "".into(),
        kind: FindingKind::Compromise,
        severity: Severity::High,
        level: Level::Quarantine,
        gateways: vec!["edge".into(), "broker".into()],
        playbook: "compromise".into(),
        playbook_version: "5b1f6a0c9d3e4f70".into(),
        mode: Mode::Auto,
        ttl_seconds: Some(14_400),
        answer_by: None,
        approvals: 1,
        ask_for: Vec::new(),
        after: None,
        if_still_talking: Some(Level::Disable),
        talking_ttl_seconds: None,
        why: "compromise of severity high, first reason: telnet 203.0.113.9".to_owned(),
        first_window: EventTime(1),
        found_at: EventTime(2),
    }
}
