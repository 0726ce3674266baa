//! What stands in the table now, and what has to change: pure, from `nft`'s own listing.

use std::collections::BTreeMap;

use fleet::EventTime;
use serde_json::{Value, json};

use super::rules::{CHAINS, Rules, TABLE};

/// Seconds by which an element's end may miss the ordered one and is left: `nft` tells whole seconds, cut.
const SLACK: i64 = 2;

/// An address in one of the sets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    pub set: String,
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who put it there, in their own words; empty when they left none.
    pub comment: String,
    /// Seconds until it ends by itself.
    pub expires: Option<i64>,
}

#[derive(Debug, Default, PartialEq)]
pub struct State {
    /// The table, its sets and its rules are as we make them.
    pub intact: bool,
    /// Somebody made it dormant: its rules do nothing.
    pub asleep: bool,
    pub elements: BTreeMap<Element, Held>,
}

impl State {
    /// From `nft -j list table inet vedette`.
    ///
    /// # Errors
    /// What was listed is not what was asked for.
    pub fn read(listing: &str, wanted: &Rules) -> Result<State, String> {
        let listing: Value = serde_json::from_str(listing).map_err(|error| format!("its list is not JSON: {error}"))?;
        let entries = listing["nftables"].as_array().ok_or("its list has no `nftables`")?;
        let mut state = State::default();
        let mut sets = BTreeMap::new();
        let mut comments: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut chains = 0;
        for entry in entries {
            if let Some(table) = entry.get("table") {
                // Ours has no flags; how a flag is spelt differs between versions.
                state.asleep = table.get("flags").is_some();
            } else if let Some(set) = entry.get("set") {
                let name = set["name"].as_str().unwrap_or_default();
                sets.insert(name, set["type"].as_str().unwrap_or_default());
                state.take_elements(name, set);
            } else if let Some(chain) = entry.get("chain") {
                chains += usize::from(wanted.is_chain(chain));
            } else if let Some(rule) = entry.get("rule") {
                let comment = rule["comment"].as_str().unwrap_or_default().to_owned();
                comments.entry(rule["chain"].as_str().unwrap_or_default()).or_default().push(comment);
            }
        }
        let has_rules =
            CHAINS.iter().all(|chain| comments.get(chain).cloned().unwrap_or_default() == wanted.comments(chain));
        let has_sets = wanted.sets.iter().all(|set| sets.get(set.name.as_str()) == Some(&set.holds));
        state.intact = !state.asleep && chains == CHAINS.len() && has_rules && has_sets;
        Ok(state)
    }

    fn take_elements(&mut self, set: &str, entry: &Value) {
        for element in entry["elem"].as_array().into_iter().flatten() {
            let detailed = element.get("elem").unwrap_or(element);
            let Some(value) = detailed.get("val").unwrap_or(detailed).as_str() else { continue };
            let held = Held {
                comment: detailed["comment"].as_str().unwrap_or_default().to_owned(),
                expires: detailed["timeout"].as_i64().map(|_| detailed["expires"].as_i64().unwrap_or(0)),
            };
            self.elements.insert(Element { set: set.to_owned(), value: value.to_owned() }, held);
        }
    }

    /// Who else holds one of these.
    pub fn foreign(&self, wanted: &[Element], mark: &str) -> Option<String> {
        let held = wanted.iter().filter_map(|element| self.elements.get(element)).find(|held| held.comment != mark)?;
        let by = if held.comment.is_empty() { "somebody who left no comment" } else { &held.comment };
        Some(by.to_owned())
    }

    pub fn holds(&self, wanted: &[Element], mark: &str) -> bool {
        let ours = |element| self.elements.get(element).is_some_and(|held| held.comment == mark);
        self.intact && wanted.iter().all(ours)
    }

    /// What `mark` has put in, wherever it is.
    pub fn of<'a>(&'a self, mark: &'a str) -> impl Iterator<Item = (&'a Element, &'a Held)> {
        self.elements.iter().filter(move |(_, held)| held.comment == mark)
    }

    /// What is to be done so that `wanted` is held by `mark`, and nothing else is, for `seconds`: one transaction, and nothing
    /// when it is so already. Elements are created, never added: one that somebody put in meanwhile fails it.
    pub fn change(&self, rules: &Rules, wanted: &[Element], mark: &str, seconds: Option<i64>) -> Vec<Value> {
        let mut commands = if self.intact { Vec::new() } else { rules.commands() };
        for (element, _) in self.of(mark).filter(|(element, _)| !wanted.contains(element)) {
            commands.push(delete(element));
        }
        for element in wanted {
            if let Some(held) = self.elements.get(element) {
                let ends_in_time = match (held.expires, seconds) {
                    (Some(expires), Some(seconds)) => (expires - seconds).abs() <= SLACK,
                    (expires, seconds) => expires == seconds,
                };
                if ends_in_time {
                    continue;
                }
                commands.push(delete(element));
            }
            commands.push(create(element, mark, seconds));
        }
        commands
    }
}

pub fn delete(element: &Element) -> Value {
    json!({ "delete": { "element": {
        "family": "inet", "table": TABLE, "name": element.set, "elem": [element.value],
    } } })
}

fn create(element: &Element, mark: &str, seconds: Option<i64>) -> Value {
    let mut detailed = json!({ "val": element.value, "comment": mark });
    if let Some(seconds) = seconds {
        detailed["timeout"] = json!(seconds);
    }
    json!({ "create": { "element": {
        "family": "inet", "table": TABLE, "name": element.set, "elem": [{ "elem": detailed }],
    } } })
}

/// Whole seconds from `now` to `until`, cut upwards.
pub fn seconds_left(until: EventTime, now: EventTime) -> i64 {
    let micros = until.minus(now);
    micros.div_euclid(fleet::time::MICROS_PER_SECOND) + i64::from(micros.rem_euclid(fleet::time::MICROS_PER_SECOND) > 0)
}

#[cfg(test)]
mod tests {
    use super::super::rules::rules;
    use super::*;

    fn element(value: &str) -> Element {
        Element { set: "quarantine4".to_owned(), value: value.to_owned() }
    }

    fn state(held: &[(&str, &str, Option<i64>)]) -> State {
        let elements = held.iter().map(|(value, comment, expires)| {
            (element(value), Held { comment: (*comment).to_owned(), expires: *expires })
        });
        State { intact: true, asleep: false, elements: elements.collect() }
    }

    #[test]
    fn elements_are_read_in_all_their_spellings() {
        let listing = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
            {"set": {"name": "quarantine4", "type": "ipv4_addr", "elem": ["10.0.0.1",
                {"elem": {"val": "10.0.0.2", "comment": "by hand"}},
                {"elem": {"val": "10.0.0.3", "timeout": 60, "expires": 59, "comment": "vedette:a"}}]}}]}"#;
        let read = State::read(listing, &rules(&[], &[], None)).unwrap();
        assert!(!read.intact);
        let expected =
            state(&[("10.0.0.1", "", None), ("10.0.0.2", "by hand", None), ("10.0.0.3", "vedette:a", Some(59))]);
        assert_eq!(read.elements, expected.elements);
    }

    #[test]
    fn what_is_as_ordered_is_left() {
        let held = state(&[("10.0.0.3", "vedette:a", Some(59))]);
        let rules = rules(&[], &[], None);
        assert!(held.change(&rules, &[element("10.0.0.3")], "vedette:a", Some(60)).is_empty());
        let extended = held.change(&rules, &[element("10.0.0.3")], "vedette:a", Some(600));
        assert_eq!(extended.len(), 2);
        assert!(extended[0].get("delete").is_some() && extended[1].get("create").is_some());
        // For ever, after a while, is a change too.
        assert_eq!(held.change(&rules, &[element("10.0.0.3")], "vedette:a", None).len(), 2);
    }

    #[test]
    fn an_address_that_moved_is_let_go_in_the_same_instant() {
        let held = state(&[("10.0.0.3", "vedette:a", None)]);
        let commands = held.change(&rules(&[], &[], None), &[element("10.0.0.4")], "vedette:a", None);
        assert_eq!(commands[0], delete(&element("10.0.0.3")));
        assert!(commands[1].get("create").is_some());
    }

    #[test]
    fn others_are_named() {
        let held = state(&[("10.0.0.3", "", None), ("10.0.0.4", "vedette:b", None)]);
        assert_eq!(held.foreign(&[element("10.0.0.3")], "vedette:a").unwrap(), "somebody who left no comment");
        assert_eq!(held.foreign(&[element("10.0.0.4")], "vedette:a").unwrap(), "vedette:b");
        assert_eq!(held.foreign(&[element("10.0.0.5")], "vedette:a"), None);
    }

    #[test]
    fn seconds_are_cut_upwards() {
        assert_eq!(seconds_left(EventTime(1_500_000), EventTime(0)), 2);
        assert_eq!(seconds_left(EventTime(2_000_000), EventTime(0)), 2);
        assert_eq!(seconds_left(EventTime(0), EventTime(1)), 0);
    }
}
