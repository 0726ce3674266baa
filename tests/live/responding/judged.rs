//! A person says that it was nothing, after having seen what that would have kept back; the next time nobody is told.
//!
//! Nothing was learned, so the guard-rail against acting while a type is `learning` refuses: no mask is on the device, and what
//! it does again is found again. For that, evidence is forgotten within seconds.

use fleet::State;
use responders::api::command::{Verdict, VerdictRequest, VerdictScope};
use responders::api::views::{IncidentFilter, VerdictFilter};
use responders::rights::Moment;

use super::BAD;
use super::plant::Plant;
use crate::cases::site::{WINDOW, closed};
use crate::cases::stream::{SECOND, now};
use crate::vedette::{succeed, text, until};

/// Six half-lives of two seconds, and some windows more.
const FORGOTTEN: i64 = 12 * SECOND + 3 * WINDOW * SECOND;

#[test]
fn what_was_called_nothing_is_kept_back_the_next_time() {
    let Some(mut plant) = Plant::start_with("judged", "half_life_seconds = 2", "") else { return };
    plant.early_in_a_window();
    plant.devices[BAD].guess();
    plant.say("a technician tries passwords");
    plant.ask_until("an action that is refused", |plant| plant.are_in(State::Refused, 1));
    let incidents = plant.api.incidents(&IncidentFilter::default()).expect("the API answers").incidents;
    let incident = incidents[0].incident_id.clone();
    assert_eq!((incidents.len(), incidents[0].kept_back), (1, 0));
    let found = |plant: &Plant| plant.engine.query("SELECT count() AS found FROM findings")[0]["found"].clone();
    plant.ask_until("the finding in the store", |plant| found(plant) == 1);
    let which = |open: bool| plant.api.incidents(&IncidentFilter { open: Some(open), ..IncidentFilter::default() });
    assert_eq!(which(true).expect("the store is asked").incidents[0].open, Some(true));
    assert_eq!(which(false).expect("the store is asked").incidents, []);

    let about = ["verdicts", "give", "false", "--incident", &incident, "--scope", "device", "--expires", "1d"];
    let said = plant.run(&[&about[..], &["--preview"]].concat());
    assert!(said.contains("it would have kept back 1 finding of 1 incident on 1 device"), "{said}");
    let of_site = VerdictRequest {
        incident: Some(incident.clone()),
        finding: None,
        verdict: Verdict::False,
        scope: VerdictScope::Site,
        expires: Some(Moment(fleet::EventTime(now()).plus_seconds(86_400))),
        note: String::new(),
        preview: true,
    };
    let refused = plant.api.give_verdict(&of_site).expect_err("guessing is an attack's shape").to_string();
    assert!(refused.contains("one device at most"), "{refused}");
    let verdicts = |plant: &Plant| plant.api.verdicts(&VerdictFilter::default()).map(|page| page.verdicts);
    assert_eq!(verdicts(&plant).expect("the API answers"), [], "a preview is kept nowhere");

    let said = plant.run(&[&about[..], &["--yes", "--note", "the technician"]].concat());
    assert!(said.contains("journal entry"), "{said}");
    plant.say("it was nothing, somebody says");
    let judged = now();
    until(&mut plant.service, "what was told to be forgotten", |service| {
        closed(service).is_some_and(|at| at >= judged + FORGOTTEN)
    });
    let actions = plant.actions().len();
    plant.early_in_a_window();
    plant.devices[BAD].guess();
    plant.say("the technician tries again");
    plant.ask_until("the next finding to be kept back", |plant| {
        verdicts(plant).is_ok_and(|given| given.len() == 1 && given[0].kept_back == 1)
    });
    assert_eq!((plant.actions().len(), plant.devices[BAD].cuts()), (actions, 0));
    plant.ask_until("the finding in the store, as history", |plant| found(plant) == 2);
    let judged =
        "SELECT count(DISTINCT finding_id) AS findings FROM verdicts WHERE verdict = 'false' AND author = 'soc'";
    plant.ask_until("both findings to be judged", |plant| plant.engine.query(judged)[0]["findings"] == 2);
    plant.service.stop();
    let audit = succeed(&["audit", "verify", "--config", text(&plant.site.config)]);
    assert!(audit.contains("the journal is what was written"), "{audit}");
}
