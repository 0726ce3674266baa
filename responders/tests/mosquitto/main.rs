//! The real Mosquitto with dynamic security over TLS, and real clients: who is disabled is cut off and stays out, and nobody
//! else notices.

#[path = "../isolating/mod.rs"]
mod isolating;
#[path = "../../../tests/not_run/mod.rs"]
mod not_run;
#[path = "../programs/mod.rs"]
mod programs;

mod broker;
mod failures;
mod others;
mod quarantine;
mod storm;

use fleet::Level;
use responders::gateways::{Key, Order, Permit};

fn order(username: &str) -> Order {
    Order {
        action_id: format!("{username}/incident-7/quarantine"),
        incident_id: "incident-7".to_owned(),
        device_id: "cam-1".into(),
        level: Level::Quarantine,
        names: [(Key::Username, username.into())].into(),
        further: Vec::new(),
        until: None,
        note: "vedette incident-7: talks to strangers".to_owned(),
        receipt: None,
    }
}

fn permit() -> Permit {
    Permit::for_tests()
}
