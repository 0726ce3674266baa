//! `vedette audit verify`: a journal is what was written, or it is said where it is not.

use std::path::Path;

use fleet::EventTime;
use responders::journal::entry::{Began, Body, Signed};
use responders::journal::sign::Signer;
use responders::journal::{Chain, Entry};

use crate::support::{fail, scanned, succeed, text};

const TRUE: &str = "the journal is what was written: ";

fn written(path: &Path, lines: &[String]) {
    std::fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

#[test]
fn every_change_of_a_replays_journal_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let store = scanned(folder.path());
    let original = std::fs::read_to_string(store.join("journal.jsonl")).unwrap();
    let lines: Vec<String> = original.lines().map(str::to_owned).collect();
    let entries: Vec<Entry> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() >= 7, "{original}");
    let told = succeed(&["audit", "verify", "--store", text(&store)]);
    let head = entries.last().unwrap().hash.as_str();
    assert!(told.starts_with(&format!("{TRUE}{} entries, 0 signatures", lines.len())), "{told}");
    assert!(told.ends_with(&format!("\nhead {head}\n")), "{told}");

    let path = folder.path().join("journal.jsonl");
    let refused = |lines: &[String], entry: usize, what: &str| {
        written(&path, lines);
        let told = fail(&["audit", "verify", "--file", text(&path)], 1);
        assert!(told.contains(&format!("`{}` is broken: entry {entry}: {what}", path.display())), "{told}");
    };
    for at in 0..lines.len() {
        let mut changed = lines.clone();
        // A second earlier or later.
        changed[at] =
            changed[at].replacen(&entries[at].at.0.to_string(), &(entries[at].at.0 + 1_000_000).to_string(), 1);
        refused(&changed, at + 1, "it was changed");
    }
    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    refused(&swapped, 3, "entry 4 stands here");
    let missing = [&lines[..1], &lines[2..]].concat();
    refused(&missing, 2, "entry 3 stands here");
    // With its hash computed anew, the change shows in the entry that follows.
    let mut chain = Chain::default();
    chain.follow(&entries[0]);
    let (_, forged) = chain.seal(entries[1].at, entries[2].body.clone()).unwrap();
    let mut anew = lines.clone();
    anew[1] = forged;
    refused(&anew, 3, "it does not follow");

    let journal = store.join("journal.jsonl");
    let verify = |content: &str| {
        std::fs::write(&journal, content).unwrap();
        fail(&["audit", "verify", "--store", text(&store)], 1)
    };
    let told = verify(&original[..original.len() - 40]);
    assert!(told.contains("incomplete line after entry"), "{told}");
    let told = verify(&lines[..lines.len() - 3].iter().map(|line| format!("{line}\n")).collect::<String>());
    assert!(told.contains("and the table `actions` has") && told.contains("cut off"), "{told}");
    assert!(verify("").contains("ends with entry 0"));
    assert!(fail(&["audit", "verify", "--file", text(&journal)], 1).contains("has no entry"));
    std::fs::write(&journal, &original).unwrap();

    // What was cut off at the end only somebody knows who has the head.
    written(&path, &lines[..lines.len() - 1]);
    let verify = ["audit", "verify", "--file", text(&path), "--head"];
    assert!(succeed(&verify[..4]).starts_with(TRUE));
    let told = fail(&[&verify[..], &[head]].concat(), 1);
    assert!(told.contains(head) && told.contains("cut off"), "{told}");
    succeed(&[&verify[..], &[entries[2].hash.as_str()]].concat());
    let told = fail(&["audit", "verify", "--store", text(&store), "--head", &"0".repeat(64)], 1);
    assert!(told.contains("no entry has the hash 0000"), "{told}");
    let told = fail(&["audit", "verify", "--store", text(&store), "--key", &"0".repeat(64)], 1);
    assert!(told.contains("no entry is signed"), "{told}");
    let told = fail(&["audit", "verify", "--file", text(&folder.path().join("nowhere"))], 1);
    assert!(told.contains("nowhere") && told.contains("cannot be read"), "{told}");
}

/// Three entries, of which `sign` gives the last from the head it is to vouch for, and one that follows.
fn signed(path: &Path, sign: impl Fn(&str) -> Signed) {
    let began =
        |owner: &str| Body::Began(Began { owner: owner.to_owned(), release: "0.1.0".to_owned(), lease_seconds: 8 });
    let (mut chain, mut lines) = (Chain::default(), Vec::new());
    for seq in 1..=4 {
        let body = if seq == 3 { Body::Signed(sign(&chain.head)) } else { began("one") };
        let (entry, line) = chain.seal(EventTime(seq), body).unwrap();
        chain.follow(&entry);
        lines.push(line);
    }
    written(path, &lines);
}

#[test]
fn a_signature_is_of_the_key_that_is_named_and_of_the_entries_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let [signer, stranger] = ["ours", "theirs"].map(|name| Signer::open(&folder.path().join(name)).unwrap());
    let [key, other] = [&signer, &stranger].map(|signer| signer.public_key().to_string());
    let path = folder.path().join("journal.jsonl");
    let verify = ["audit", "verify", "--file", text(&path)];
    let with_key = |key| [&verify[..], &["--key", key]].concat();

    signed(&path, |head| signer.sign(head));
    for arguments in [&verify[..], &with_key(&key)] {
        let told = succeed(arguments);
        assert!(told.contains("4 entries, 1 signatures, signed through entry 3\n"), "{told}");
    }
    let told = fail(&with_key(&other), 1);
    assert!(told.contains(&format!("entry 3 is signed by another key, {key}")), "{told}");

    // Written anew by somebody with a key of their own: the one that is named tells it.
    signed(&path, |head| stranger.sign(head));
    succeed(&verify);
    let told = fail(&with_key(&key), 1);
    assert!(told.contains(&format!("entry 3 is signed by another key, {other}")), "{told}");

    // Said to be signed by ours.
    signed(&path, |head| Signed { key: key.as_str().into(), ..stranger.sign(head) });
    for arguments in [&verify[..], &with_key(&key)] {
        let told = fail(arguments, 1);
        assert!(told.contains("entry 3: its signature is not of the entries before it"), "{told}");
    }
    // Ours, and of another journal.
    signed(&path, |head| Signed { head: head.into(), ..signer.sign("another") });
    assert!(fail(&verify, 1).contains("entry 3: its signature"));
}
