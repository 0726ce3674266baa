use std::io::{Cursor, Read, Write};

use fleet::{EventTime, FindingKind, Level, Mode, Severity, State};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::bundle::write;
use super::check::{Checked, check};
use super::excerpt::Excerpt;
use super::*;
use crate::journal::Chain;
use crate::journal::entry::{Began, Body, Called, Command, Commanded, Move, Proposal};
use crate::journal::sign::Signer;

fn proposal(incident: &str) -> Body {
    Body::Proposed(Box::new(Proposal {
        action_id: format!("action-of-{incident}"),
        incident_id: incident.to_owned(),
        finding_id: "finding".to_owned(),
        device_id: "lamp-1".into(),
        device_type: "lamp".into(),
        site: "".into(),
        segment: "".into(),
        kind: FindingKind::Compromise,
        severity: Severity::High,
        level: Level::Quarantine,
        gateways: vec!["edge".into()],
        playbook: "compromise".into(),
        playbook_version: "v7".into(),
        mode: Mode::Auto,
        ttl_seconds: None,
        answer_by: None,
        approvals: 1,
        ask_for: Vec::new(),
        after: None,
        if_still_talking: None,
        talking_ttl_seconds: None,
        why: "because".to_owned(),
        first_window: EventTime(1),
        found_at: EventTime(2),
    }))
}

fn moved(incident: &str, to: State) -> Body {
    Body::Moved(Box::new(Move::new(&format!("action-of-{incident}"), to, "loop", "done")))
}

fn released(incident: &str) -> Body {
    let command = Command::Release { action_id: format!("action-of-{incident}"), reason: "it was new".to_owned() };
    let command_id = "c1".to_owned();
    Body::Commanded(Box::new(Commanded {
        command_id,
        by: "anna".into(),
        command,
        note: String::new(),
        refused: None,
        offset: None,
    }))
}

fn called(subject: Option<&str>) -> Body {
    Body::Called(Called {
        by: "carl".into(),
        claimed: None,
        peer: "127.0.0.1".to_owned(),
        method: "POST".into(),
        route: "/v1/actions/{id}/release".to_owned(),
        subject: subject.map(str::to_owned),
        status: 202,
        unrecorded: 0,
        offset: None,
    })
}

fn began() -> Body {
    Body::Began(Began { owner: "o".to_owned(), release: "0".to_owned(), lease_seconds: 8 })
}

/// Two incidents that take turns; `None` is a signature.
fn journal(signer: &Signer) -> Vec<String> {
    let bodies = [
        Some(began()),
        Some(proposal("a")),
        Some(proposal("b")),
        None,
        Some(moved("a", State::Approved)),
        Some(moved("b", State::Approved)),
        Some(released("a")),
        Some(released("b")),
        Some(called(Some("action-of-a"))),
        Some(called(Some("action-of-b"))),
        Some(called(Some("a"))),
        Some(called(None)),
        None,
        None,
    ];
    let mut chain = Chain::default();
    let mut lines = Vec::new();
    for (at, body) in (1..).zip(bodies) {
        let body = body.unwrap_or_else(|| Body::Signed(signer.sign(&chain.head)));
        let (entry, line) = chain.seal(EventTime(at), body).unwrap();
        chain.follow(&entry);
        lines.push(line);
    }
    lines
}

struct Fixture {
    signer: Signer,
    key: String,
    bundle: Vec<u8>,
    _folder: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::open(&folder.path().join("journal.key")).unwrap();
    let path = folder.path().join("journal.jsonl");
    let lines = journal(&signer);
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    let excerpted = Excerpt::of_file(&path, "a", true).unwrap();

    let numbers = |text: &str| -> Vec<usize> {
        text.lines().map(|line| lines.iter().position(|other| other == line).unwrap() + 1).collect()
    };
    assert_eq!(numbers(&excerpted.lines), [2, 5, 7, 9, 11, 13], "its own, and the first signature after them");
    assert_eq!(numbers(&excerpted.whole), (1..=14).collect::<Vec<_>>());
    let head = excerpted.head.as_ref().unwrap();
    assert_eq!((head.entry, head.covered_by), (14, Some(13)));
    assert_eq!(Vec::from_iter(excerpted.playbooks.iter().cloned()), [("compromise".into(), "v7".into())]);

    let parts = [
        Part::new("findings.json", "[{\"finding_id\": \"f1\"}]\n"),
        Part::new(JOURNAL, excerpted.lines),
        Part::new(WHOLE_JOURNAL, excerpted.whole),
    ];
    let bundle = made(&parts, Some(&signer));
    Fixture { key: signer.public_key().to_string(), signer, bundle, _folder: folder }
}

fn made(parts: &[Part], signer: Option<&Signer>) -> Vec<u8> {
    let mut bundle = Cursor::new(Vec::new());
    write(&mut bundle, "a", Moment(EventTime(7)), parts, signer).unwrap();
    bundle.into_inner()
}

fn checked(bundle: &[u8], key: Option<&str>) -> Checked {
    check(Cursor::new(bundle), key).unwrap()
}

fn unpacked(bundle: &[u8]) -> Vec<Part> {
    let mut zip = ZipArchive::new(Cursor::new(bundle)).unwrap();
    let mut parts = Vec::new();
    for at in 0..zip.len() {
        let mut file = zip.by_index(at).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        parts.push(Part { name: file.name().unwrap().into_owned(), bytes });
    }
    parts
}

/// Packed as anybody could.
fn packed(parts: &[Part]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for part in parts {
        zip.start_file(&part.name, SimpleFileOptions::default()).unwrap();
        zip.write_all(&part.bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn a_bundle_is_what_was_made_and_made_twice_it_is_the_same() {
    let Fixture { signer, key, bundle, .. } = fixture();
    let checked = checked(&bundle, Some(&key.to_uppercase()));
    assert_eq!(checked.problems, Vec::<String>::new());
    assert_eq!((checked.signed_by.as_deref(), checked.entries), (Some(key.as_str()), 6));
    assert_eq!(checked.manifest.incident_id, "a");
    let parts = unpacked(&bundle);
    let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, [MANIFEST, SIGNATURE, README, "findings.json", JOURNAL, WHOLE_JOURNAL]);
    assert_eq!(made(&parts[3..], Some(&signer)), bundle);
}

#[test]
fn one_byte_changed_is_told_with_the_file_it_is_in() {
    let Fixture { key, bundle, .. } = fixture();
    let parts = unpacked(&bundle);
    for part in 2..parts.len() {
        for at in [0, parts[part].bytes.len() / 2, parts[part].bytes.len() - 1] {
            let mut changed = parts.clone();
            changed[part].bytes[at] ^= 1;
            let name = &changed[part].name;
            let problems = checked(&packed(&changed), Some(&key)).problems;
            assert!(
                problems.iter().any(|it| it.starts_with(&format!("{name}: it was changed"))),
                "{name} {at}: {problems:?}"
            );
            assert!(problems.iter().all(|it| it.starts_with(name.as_str())), "{name} {at}: {problems:?}");
        }
        let mut shorter = parts.clone();
        shorter.remove(part);
        let missing = format!("{}: it is missing", parts[part].name);
        assert_eq!(checked(&packed(&shorter), Some(&key)).problems, [missing]);
    }
    // In the archive as it stands on the disk, within what is compressed.
    let packed_names: Vec<usize> = (0..bundle.len()).filter(|at| bundle[*at..].starts_with(b"findings.json")).collect();
    let mut flipped = bundle.clone();
    flipped[packed_names[0] + "findings.json".len() + 3] ^= 4;
    let problems = checked(&flipped, None).problems;
    assert!(problems.len() == 1 && problems[0].starts_with("findings.json: it was changed"), "{problems:?}");
}

#[test]
fn hashes_made_to_fit_do_not_fit_the_signature() {
    let Fixture { key, bundle, .. } = fixture();
    let parts = unpacked(&bundle);
    let mut forged = parts.clone();
    forged[3] = Part::new("findings.json", "[]\n");
    let anew = unpacked(&made(&forged[3..], None));
    forged[0] = anew[0].clone();
    let problems = checked(&packed(&forged), None).problems;
    assert_eq!(problems, ["MANIFEST.sig: the signature is not of this MANIFEST.json"]);

    // Signed anew by somebody else: only whoever knows the key sees it.
    let folder = tempfile::tempdir().unwrap();
    let stranger = Signer::open(&folder.path().join("key")).unwrap();
    let theirs = made(&parts[3..], Some(&stranger));
    assert_eq!(checked(&theirs, None).problems, Vec::<String>::new());
    assert!(checked(&theirs, Some(&key)).problems[0].contains("another key"));
    // Or not at all.
    let unsigned = made(&parts[3..], None);
    let lax = checked(&unsigned, None);
    assert_eq!((lax.problems, lax.signed_by), (Vec::new(), None));
    assert!(checked(&unsigned, Some(&key)).problems[0].contains("nobody signed"));
}

#[test]
fn what_is_more_or_twice_is_told() {
    let Fixture { bundle, .. } = fixture();
    let mut more = unpacked(&bundle);
    more.push(Part::new("run-me.sh", "#!/bin/sh\n"));
    assert_eq!(checked(&packed(&more), None).problems, ["run-me.sh: it is not listed in MANIFEST.json"]);
    // The writer refuses a name twice; a name of the same length is overwritten with it.
    let mut other = unpacked(&bundle);
    other.push(Part::new("findings.jsox", "[]\n"));
    let mut twice = packed(&other);
    let name = b"findings.jsox";
    while let Some(at) = twice.windows(name.len()).position(|bytes| bytes == name) {
        twice[at..at + name.len()].copy_from_slice(b"findings.json");
    }
    let problems = checked(&twice, None).problems;
    assert!(problems.contains(&"a file stands in it twice".to_owned()), "{problems:?}");
}

#[test]
fn entries_of_a_journal_are_looked_at_by_themselves() {
    let Fixture { signer, bundle, .. } = fixture();
    let parts = unpacked(&bundle);
    let journal = String::from_utf8(parts[4].bytes.clone()).unwrap();
    let told = |journal: String| checked(&made(&[Part::new(JOURNAL, journal)], Some(&signer)), None).problems;
    // The one who makes the bundle lies about the journal: its hashes fit the manifest, and not themselves.
    assert_eq!(told(journal.replace("anna", "otto")), ["journal.jsonl line 3: it was changed: its hash is another"]);
    let lines: Vec<&str> = journal.lines().collect();
    let swapped = [lines[1], lines[0]].join("\n") + "\n";
    assert_eq!(told(swapped), ["journal.jsonl line 2: it is older than the line before"]);
    assert!(told("{}\n".to_owned())[0].contains("line 1: it is no entry"));
    assert_eq!(told(String::new()), Vec::<String>::new());
}

#[test]
fn what_is_no_bundle() {
    let words = |bytes: &[u8], key| check(Cursor::new(bytes), key).unwrap_err().to_string();
    assert!(words(b"no zip", None).contains("no evidence bundle"));
    assert!(words(&packed(&[Part::new("a", "b")]), None).contains("no `MANIFEST.json`"));
    assert!(words(&packed(&[Part::new(MANIFEST, "{}")]), None).contains("cannot be read"));
    assert!(words(b"", Some("12")).contains("`12`"));
    let other = unpacked(&fixture().bundle)[0].bytes.clone();
    let other = String::from_utf8(other).unwrap().replace(FORM, "vedette-evidence-9");
    assert!(words(&packed(&[Part::new(MANIFEST, other)]), None).contains("`vedette-evidence-9`"));
}
