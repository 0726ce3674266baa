//! Whether journal, table and gateway say the same, and between which transitions processes were killed.

use std::collections::{BTreeMap, BTreeSet};

use fleet::State;
use responders::book::Book;
use responders::journal::entry::{Body, Entry};
use serde_json::Value;

use super::mosquitto::{MARK, Mosquitto};
use crate::cases::site::Site;
use crate::engine::Engine;
use crate::vedette::{succeed, text};

/// How often each pair of neighbouring transitions of an action had the end of a process between them.
pub fn pairs_met(entries: &[Entry]) -> BTreeMap<(State, State), usize> {
    let mut met = BTreeMap::new();
    // By action: where it is, and whether a process began since it came there.
    let mut states: BTreeMap<&str, (State, bool)> = BTreeMap::new();
    for entry in entries {
        match &entry.body {
            Body::Began(_) => states.values_mut().for_each(|(_, is_inherited)| *is_inherited = true),
            Body::Proposed(proposal) => _ = states.insert(&proposal.action_id, (State::Proposed, false)),
            Body::Moved(moved) => {
                if let Some((from, true)) = states.insert(&moved.action_id, (moved.to, false)) {
                    *met.entry((from, moved.to)).or_default() += 1;
                }
            }
            _ => {}
        }
    }
    met
}

#[track_caller]
pub fn demand_agreement(entries: &[Entry], site: &Site, engine: &Engine, mosquitto: &Mosquitto) {
    let audit = succeed(&["audit", "verify", "--config", text(&site.config)]);
    assert!(audit.contains("the journal is what was written"), "{audit}");
    let told = once_through_their_states(entries);
    let mut book = Book::default();
    entries.iter().for_each(|entry| book.fold(entry));
    let rows = engine.query("SELECT seq, action_id, state, note != '' AS is_note FROM actions ORDER BY seq, state");
    assert_eq!(rows.iter().map(row).collect::<Vec<_>>(), told, "the table is not what the journal says");

    let mut held: BTreeMap<String, String> = BTreeMap::new();
    for action in book.actions().filter(|action| matches!(action.state, State::Applied | State::Verified)) {
        let before = held.insert(action.proposal.device_id.to_string(), format!("{MARK}{}", action.id()));
        assert_eq!(before, None, "`{}` is held twice", action.proposal.device_id);
    }
    assert!(!held.is_empty(), "nobody is held: there is nothing to agree on");
    let accounts = mosquitto.accounts();
    let disabled: BTreeMap<String, String> = accounts
        .iter()
        .filter(|(_, (is_disabled, _))| *is_disabled)
        .map(|(name, (_, marks))| (name.clone(), marks.join(" ")))
        .collect();
    assert_eq!(disabled, held, "whom the gateway holds, and whom the journal says");
    let marked = accounts.values().filter(|(is_disabled, marks)| !is_disabled && !marks.is_empty()).count();
    assert_eq!(marked, 0, "{marked} that are held no more still have our mark");
    assert_eq!(mosquitto.marks(), held.into_values().collect::<BTreeSet<_>>(), "marks that nobody took back");
}

type Row = (u64, String, String, bool);

fn row(row: &Value) -> Row {
    let word = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("{row}")).to_owned();
    let is_note = row["is_note"].as_u64().unwrap_or_else(|| panic!("{row}"));
    (row["seq"].as_u64().expect("a number"), word("action_id"), word("state"), is_note == 1)
}

/// Rows that the journal comes to. Each device has one action, which begins once, and goes no way that there is not.
#[track_caller]
fn once_through_their_states(entries: &[Entry]) -> Vec<Row> {
    let mut states: BTreeMap<&str, State> = BTreeMap::new();
    let (mut devices, mut begun) = (BTreeSet::new(), BTreeSet::new());
    let mut rows = Vec::new();
    for entry in entries {
        let (id, is_note) = match &entry.body {
            Body::Proposed(proposal) => {
                assert!(states.insert(&proposal.action_id, State::Proposed).is_none(), "twice: {entry:?}");
                assert!(devices.insert(&proposal.device_id), "two actions of one device: {entry:?}");
                (&proposal.action_id, false)
            }
            Body::Moved(moved) => {
                let from = states.insert(&moved.action_id, moved.to).expect("it was proposed before");
                assert!(from.may_become(moved.to), "from {from}: {entry:?}");
                let begins = (from, moved.to) == (State::Approved, State::Applying);
                assert!(!begins || begun.insert(&moved.action_id), "it began twice: {entry:?}");
                (&moved.action_id, false)
            }
            Body::Noted(note) => (&note.action_id, true),
            _ => continue,
        };
        rows.push((entry.seq, id.clone(), states[id.as_str()].name().to_owned(), is_note));
    }
    rows
}
