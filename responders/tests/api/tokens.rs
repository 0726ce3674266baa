//! Whose token opens what, and until when.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use responders::api::{ApiConfig, Desk, Server};
use responders::rights::{Role, TokenText, file};

use crate::support::{MemoryDesk, NOW, Site, at, clock, on_any_port, request, send, tokens_of_all_roles};

#[test]
fn garbage_opens_nothing_and_is_told_nothing() {
    let site = Site::with(|config| config.failures_per_minute = 1000);
    let right = &site.texts[&Role::Administrator];
    let last = if right.ends_with('A') { "B" } else { "A" };
    let wrong_secret = format!("{}{last}", &right[..right.len() - 1]);
    let unknown_id = TokenText::new().unwrap();
    let sent = [
        "Authorization: Bearer\r\n".to_owned(),
        "Authorization: Bearer \r\n".to_owned(),
        "Authorization: \r\n".to_owned(),
        format!("Authorization: {right}\r\n"),
        format!("Authorization: Basic {right}\r\n"),
        format!("Authorization: Bearer {right}x\r\n"),
        format!("Authorization: Bearer {}\r\n", &right[..right.len() - 1]),
        format!("Authorization: Bearer {wrong_secret}\r\n"),
        format!("Authorization: Bearer {}\r\n", unknown_id.reveal()),
        format!("Authorization: Bearer {}\r\n", right.to_uppercase()),
        format!("Authorization: Bearer {}\r\n", "A".repeat(8000)),
        format!("X-Token: {right}\r\n"),
        format!("Cookie: token={right}\r\n"),
    ];
    for headers in sent {
        let answer = send(site.address(), &request("GET", "/v1/health", &headers, None));
        assert_eq!(answer.status, 401, "{headers}: {answer:?}");
        assert!(matches!(&*answer.error(), "no token was sent" | "the token is not known"), "{answer:?}");
    }
    let in_query = send(site.address(), &request("GET", &format!("/v1/health?token={right}"), "", None));
    assert_eq!(in_query.status, 401);

    let spelt =
        send(site.address(), &request("GET", "/v1/health", &format!("authorization: bearer {right}\r\n"), None));
    assert_eq!(spelt.status, 200, "the scheme's case does not matter");
    let claimed: Vec<_> = site.desk.calls().into_iter().filter_map(|call| call.claimed).collect();
    assert_eq!(claimed, [TokenText::parse(right).unwrap().id()], "only an id that exists is written down");
}

#[test]
fn a_token_ends_and_only_its_holder_is_told() {
    let site = Site::new();
    assert_eq!(site.as_role(Role::Viewer, "GET", "/v1/mode", None).status, 200);
    site.now.store(at("2026-04-01T00:00:00Z").0 - 1, Ordering::SeqCst);
    assert_eq!(site.as_role(Role::Viewer, "GET", "/v1/mode", None).status, 200, "90 days, but for a microsecond");
    site.now.store(at("2026-04-01T00:00:00Z").0, Ordering::SeqCst);
    let ended = site.as_role(Role::Viewer, "GET", "/v1/mode", None);
    assert_eq!(ended.status, 401);
    assert_eq!(ended.error(), "the token `the-viewer` expired at 2026-04-01T00:00:00Z");
    assert_eq!(site.desk.calls().last().unwrap().caller, None, "it is nobody's call");
    site.now.store(at(NOW).0, Ordering::SeqCst);
    assert_eq!(site.as_role(Role::Viewer, "GET", "/v1/mode", None).status, 200);
}

#[test]
fn revoking_and_making_tokens_needs_no_restart() {
    let site = Site::new();
    let responder = TokenText::parse(&site.texts[&Role::Responder]).unwrap();
    file::revoke(&site.tokens, responder.id()).unwrap();
    let (new, _) = file::create(&site.tokens, "new", Role::Responder, file::DEFAULT_LIFE, at(NOW)).unwrap();
    let revoked = site.as_role(Role::Responder, "PUT", "/v1/stop", None);
    assert_eq!((revoked.status, revoked.error().as_str()), (401, "the token `the-responder` was revoked"));
    assert_eq!(site.call("PUT", "/v1/stop", Some(new.reveal()), None).status, 202);

    let list = site.as_role(Role::Administrator, "GET", "/v1/tokens", None);
    let revoked = list.json()["tokens"].as_array().unwrap().iter().filter(|token| token["disabled"] == true).count();
    assert_eq!((list.json()["tokens"].as_array().unwrap().len(), revoked), (5, 1));
    assert!(!list.text.contains("sha256"));
}

#[test]
fn nobody_is_let_in_while_the_tokens_file_is_open_to_others() {
    let site = Site::new();
    std::fs::set_permissions(&site.tokens, std::fs::Permissions::from_mode(0o644)).unwrap();
    let answer = site.as_role(Role::Administrator, "PUT", "/v1/stop", None);
    assert_eq!((answer.status, answer.error().as_str()), (503, "the tokens file cannot be used now"));
    assert!(!answer.text.contains(site.folder.path().to_str().unwrap()), "strangers do not learn paths");
    assert!(site.desk.commands().is_empty());
}

fn start(config: &ApiConfig) -> Result<Server, String> {
    let now = Arc::new(AtomicI64::new(at(NOW).0));
    let desk: Arc<dyn Desk> = Arc::new(MemoryDesk::default());
    Server::start(config, desk, clock(&now)).map_err(|error| error.to_string())
}

#[test]
fn it_does_not_start_with_tokens_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens.toml");
    let config = ApiConfig { tokens: Some(tokens.clone()), ..on_any_port() };
    let missing = start(&config).err().unwrap();
    assert!(missing.contains("cannot be read") && missing.contains("`vedette tokens create` makes it"), "{missing}");
    tokens_of_all_roles(&tokens);
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o640)).unwrap();
    let open = start(&config).err().unwrap();
    assert!(open.contains("its mode is `640`, expected 600"), "{open}");
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(start(&config).err(), None);
}

#[test]
fn others_are_not_listened_to_without_tls_and_tokens() {
    let config = ApiConfig { listen: "0.0.0.0:0".parse().unwrap(), ..on_any_port() };
    let error = start(&config).err().unwrap();
    assert!(error.contains("`0.0.0.0:0`, which others reach") && error.contains("set both"), "{error}");
}

#[test]
fn without_tokens_this_machine_may_look_and_nobody_may_command() {
    let site = Site::with(|config| config.tokens = None);
    let look = |headers: &str| send(site.address(), &request("GET", "/v1/actions", headers, None));
    assert_eq!(look("").status, 200);
    let caller = site.desk.calls()[0].caller.clone().unwrap();
    assert_eq!((caller.name.as_str(), caller.role, caller.token_id), ("anonymous", Role::Viewer, None));

    for (method, path) in [("PUT", "/v1/stop"), ("POST", "/v1/actions/a/approve"), ("GET", "/v1/tokens")] {
        let answer = site.call(method, path, None, None);
        assert_eq!(answer.status, 403, "{method} {path}");
        assert!(answer.error().contains("nobody can command here without a token"), "{answer:?}");
    }
    assert!(site.desk.commands().is_empty());
    let any = TokenText::new().unwrap();
    assert_eq!(site.call("PUT", "/v1/stop", Some(any.reveal()), None).status, 401, "a token is not passed over");

    // A page of the internet, in a browser here, whose name was made to point to this machine.
    for host in ["evil.example", "evil.example:9465", "localhost.evil.example", "192.0.2.1", ""] {
        let text = request("GET", "/v1/actions", "", None).replace("Host: localhost", &format!("Host: {host}"));
        assert_eq!(send(site.address(), &text).status, 403, "{host}");
    }
    for host in ["LOCALHOST:1", "127.0.0.1", "127.0.0.1:9465", "[::1]:9465"] {
        let text = request("GET", "/v1/actions", "", None).replace("Host: localhost", &format!("Host: {host}"));
        assert_eq!(send(site.address(), &text).status, 200, "{host}");
    }
}
