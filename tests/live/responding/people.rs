//! People part the loop: they approve, deny, extend and stop, by the commands and the API of a service that works, and every
//! call of theirs is in the journal, with what they said.

use std::time::{Duration, Instant};

use fleet::State;
use responders::api::client::TOKEN_VARIABLE;
use serde_json::Value;

use super::plant::Plant;
use crate::cases::stream::all_of;
use crate::vedette::{succeed, text, vedette_with};

/// Of these two devices, in mode `approve`, the first is held and the second is not.
pub fn are_asked(plant: &mut Plant, held: usize, spared: usize) {
    let said = plant.run(&["mode", "approve", "--note", "an audit is on"]);
    assert!(said.contains("approve for everything"), "{said}");
    plant.early_in_a_window();
    [held, spared].iter().for_each(|number| plant.devices[*number].guess());
    plant.ask_until("two proposals", |plant| plant.are_in(State::Proposed, 2));
    let [held, spared] = [held, spared].map(|number| {
        let device = &plant.devices[number].id;
        let of_it = plant.actions().into_iter().find(|action| action.device_id == *device);
        of_it.expect("an action of each").action_id
    });
    plant.say("two more turn bad; in mode `approve` people are asked");

    let second = token(plant, "colleague", "responder");
    let by_second = |words: &[&str]| vedette_with(words, &[(TOKEN_VARIABLE, second.as_str())]);
    let url = plant.url.clone();
    plant.ask(&["deny", &spared, "--note", "it is being repaired"]);
    plant.ask(&["approve", &held, "--note", "it guessed passwords"]);
    let again = vedette_with(&["actions", "approve", &held, "--url", &url], &[(TOKEN_VARIABLE, plant.token.as_str())]);
    let told = String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && told.contains("it takes 2 people"), "{told}");
    assert_eq!(of(plant, &held).state, State::Proposed);
    let approved = by_second(&["actions", "approve", &held, "--note", "seen on the camera", "--url", &url]);
    assert!(approved.status.success(), "{}", String::from_utf8_lossy(&approved.stderr));
    plant.ask_until("what was approved to be in force", |plant| of(plant, &held).state == State::Verified);
    assert_eq!(of(plant, &spared).state, State::Denied);
    assert_eq!(of(plant, &held).approved_by, ["soc", "colleague"]);
    plant.say("`vedette actions approve`, by two people, and `deny`: one is isolated, and the other is not");

    let before = of(plant, &held).until.expect("it has an end").0;
    plant.ask(&["extend", &held, "--for", "2h", "--note", "until the shift ends"]);
    let gained = of(plant, &held).until.expect("it has an end").0.seconds_since(before);
    assert!((5_000.0..7_200.0).contains(&gained), "ten minutes became two hours: {gained} s more");

    let refused = by_second(&["mode", "auto", "--url", &url]);
    assert!(!refused.status.success(), "a responder sets no modes");
    let guessed = format!("{}{}", &second[..second.len() - 1], if second.ends_with('A') { 'B' } else { 'A' });
    let nobody = vedette_with(&["mode", "show", "--url", &url], &[(TOKEN_VARIABLE, guessed.as_str())]);
    assert!(!nobody.status.success());
    plant.run(&["mode", "stop", "--note", "a storm"]);
    assert!(plant.run(&["mode", "show"]).contains("STOPPED"));
    plant.run(&["mode", "resume"]);
    let shown = plant.run(&["mode", "show"]);
    assert!(!shown.contains("STOPPED") && shown.contains("approve"), "{shown}");
    the_journal_has_it(plant, [&held, &spared]);
}

fn of(plant: &Plant, action: &str) -> responders::api::views::ActionView {
    plant.actions().into_iter().find(|known| known.action_id == action).expect("it is listed")
}

/// Another person's.
fn token(plant: &Plant, name: &str, role: &str) -> String {
    let said = succeed(&["tokens", "create", "--file", text(&plant.tokens), "--name", name, "--role", role]);
    said.split_whitespace().find(|word| word.starts_with("vdt_")).expect("a token is shown").to_owned()
}

fn the_journal_has_it(plant: &Plant, [held, spared]: [&str; 2]) {
    let topic = plant.topic("journal");
    let bootstrap = plant.site.bootstrap().to_owned();
    let lines = || -> Vec<Value> {
        let stored = all_of(&bootstrap, &topic, 0);
        stored.iter().filter_map(|record| serde_json::from_str(record.value.as_deref()?).ok()).collect()
    };
    let expected = [
        ("soc", "PUT", "/v1/mode", None, 202),
        ("soc", "POST", "/v1/actions/{id}/deny", Some(spared), 202),
        ("soc", "POST", "/v1/actions/{id}/approve", Some(held), 202),
        ("colleague", "POST", "/v1/actions/{id}/approve", Some(held), 202),
        ("soc", "POST", "/v1/actions/{id}/extend", Some(held), 202),
        ("colleague", "PUT", "/v1/mode", None, 403),
        ("", "GET", "/v1/mode", None, 401),
        ("soc", "PUT", "/v1/stop", None, 202),
        ("soc", "DELETE", "/v1/stop", None, 202),
    ];
    let is_of = |line: &Value, (by, method, route, subject, status): (&str, &str, &str, Option<&str>, u16)| {
        let is_it = line["kind"] == "called" && line["by"] == by && line["method"] == method;
        is_it && line["route"] == route && line["subject"].as_str() == subject && line["status"] == status
    };
    // A call is taken down after it was answered.
    let until = Instant::now() + Duration::from_secs(30);
    for call in expected {
        while !lines().iter().any(|line| is_of(line, call)) {
            let called: Vec<Value> = lines().into_iter().filter(|line| line["kind"] == "called").collect();
            assert!(Instant::now() < until, "{call:?} is not in the journal:\n{called:#?}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }
    let text = lines().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for note in [
        "an audit is on",
        "it is being repaired",
        "it guessed passwords",
        "seen on the camera",
        "until the shift ends",
        "a storm",
    ] {
        assert!(text.contains(note), "`{note}` is not in the journal");
    }
    plant.say("the journal has every call, and why");
}
