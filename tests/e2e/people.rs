//! People's commands to a running service, where there is none, and who may use its API.

use crate::support::{fail, succeed, text};

/// A port of this machine that nobody listens at.
fn closed() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn where_nobody_answers_the_remedy_is_told() {
    let url = closed();
    for command in [&["actions", "list"][..], &["mode", "stop"], &["incidents", "list"], &["verdicts", "list"]] {
        let told = fail(&[command, &["--url", &url]].concat(), 1);
        assert!(told.contains("does not answer") && told.contains("[api]") && told.contains(&url), "{told}");
    }
}

#[test]
fn tokens_are_made_shown_once_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.toml");
    let made = succeed(&["tokens", "create", "--name", "anna", "--role", "responder", "--file", text(&file)]);
    let token = made.trim();
    assert!(token.starts_with("vdt_") && token.len() == 56, "{made}");
    assert!(!std::fs::read_to_string(&file).unwrap().contains(&token[13..]), "the file has its hash only");
    let id = &token[4..12];
    let listed = succeed(&["tokens", "list", "--file", text(&file)]);
    assert!(listed.contains(id) && listed.contains("valid") && !listed.contains(&token[13..]), "{listed}");
    succeed(&["tokens", "revoke", id, "--file", text(&file)]);
    assert!(succeed(&["tokens", "list", "--file", text(&file)]).contains("revoked"));
    let told = fail(&["tokens", "revoke", "ffffffff", "--file", text(&file)], 2);
    assert!(told.contains("`ffffffff`"), "{told}");
}
