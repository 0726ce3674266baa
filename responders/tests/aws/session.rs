//! Connections of the data plane, with the client's own id.

use fleet::Level;
use responders::gateways::{FailureKind, Found, Gateway, Key, Order, Undone};

use super::Account;
use super::support::{order, permit};

fn terminate(client: &str) -> Order {
    order("action-1", Level::TerminateSession, &[(Key::ClientId, client)])
}

/// Ids may hold whatever MQTT allows: each is escaped, and signed as it was sent.
#[test]
fn a_session_ends_and_the_next_one_is_left_alone() {
    let Some(account) = Account::of("session") else { return };
    let mut gateway = account.gateway();
    for (client, escaped) in [("session-1", "session-1"), ("session/2 +ü%", "session%2F2%20+%C3%BC%25")] {
        account.tell(&format!("connect/{escaped}"));
        let mut order = terminate(client);
        assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Absent));
        let applied = gateway.apply(&permit(), &order).expect("it is cut");
        assert!(!applied.already);
        order.receipt = applied.receipt;
        assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));
        assert!(gateway.apply(&permit(), &order).expect("it is gone").already);

        std::thread::sleep(std::time::Duration::from_millis(2));
        account.tell(&format!("connect/{escaped}"));
        assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce), "the one that was meant is over");
        assert!(gateway.apply(&permit(), &order).expect("nothing is done").already);
        assert_eq!(gateway.read_back(&permit(), &terminate(client)), Ok(Found::Absent), "the next one goes on");
        assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Already));
    }
}

#[test]
fn ids_that_lead_elsewhere_are_refused() {
    let Some(account) = Account::of("hostile") else { return };
    let mut gateway = account.gateway();
    for client in ["", ".", "..", "$aws"] {
        let refused = gateway.apply(&permit(), &terminate(client)).unwrap_err();
        assert!(
            refused.kind == FailureKind::Refused && refused.message.contains("no client id"),
            "{client}: {refused}"
        );
    }
}
