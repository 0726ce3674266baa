//! Every route with every role, and that the table below is complete.

use std::collections::{BTreeMap, BTreeSet};

use responders::api::document;
use responders::rights::Role;
use serde_json::Value;

use crate::support::Site;

/// Method, route, a body it takes, and the least role.
const ROUTES: &[(&str, &str, Option<&str>, Role)] = &[
    ("GET", "/openapi.json", None, Role::Viewer),
    ("GET", "/v1/actions", None, Role::Viewer),
    ("GET", "/v1/actions/{id}", None, Role::Viewer),
    ("GET", "/v1/incidents", None, Role::Viewer),
    ("GET", "/v1/incidents/stats", None, Role::Viewer),
    ("GET", "/v1/incidents/{id}", None, Role::Viewer),
    ("GET", "/v1/verdicts", None, Role::Viewer),
    ("GET", "/v1/playbooks", None, Role::Viewer),
    ("GET", "/v1/mode", None, Role::Viewer),
    ("GET", "/v1/health", None, Role::Viewer),
    ("POST", "/v1/verdicts", Some(r#"{"incident":"inc-1","verdict":"false"}"#), Role::Analyst),
    ("POST", "/v1/actions/{id}/approve", Some("{}"), Role::Responder),
    ("POST", "/v1/actions/{id}/deny", Some(r#"{"note":"no"}"#), Role::Responder),
    ("POST", "/v1/actions/{id}/release", None, Role::Responder),
    ("POST", "/v1/actions/{id}/extend", Some(r#"{"for_seconds":60}"#), Role::Responder),
    ("PUT", "/v1/stop", None, Role::Responder),
    ("DELETE", "/v1/stop", None, Role::Administrator),
    ("PUT", "/v1/mode", Some(r#"{"mode":"observe"}"#), Role::Administrator),
    ("GET", "/v1/tokens", None, Role::Administrator),
];

/// `act:pump-7/quarantine`, as a step of a path.
const ID: &str = "act:pump-7%2Fquarantine";

#[test]
fn every_role_may_what_the_table_says_and_nothing_more() {
    let site = Site::with(|config| config.failures_per_minute = 1000);
    let mut expected = Vec::new();
    for (method, route, body, least) in ROUTES {
        let path = route.replace("{id}", ID);
        let stranger = site.call(method, &path, None, *body);
        assert_eq!(stranger.status, 401, "{method} {route}: {stranger:?}");
        assert_eq!(stranger.header("www-authenticate"), Some("bearer"));
        expected.push((None, *method, *route, 401));
        for role in Role::ALL {
            let commands = site.desk.commands().len();
            let answer = site.as_role(role, method, &path, *body);
            let is_command = *method != "GET";
            let status = match (role >= *least, is_command) {
                (false, _) => 403,
                (true, false) => 200,
                (true, true) => 202,
            };
            assert_eq!(answer.status, status, "{method} {route} as {role}: {answer:?}");
            let carried_out = site.desk.commands().len() - commands;
            assert_eq!(carried_out, usize::from(status == 202), "{method} {route} as {role}");
            if status == 403 {
                let error = format!("the token `the-{role}` has role {role}; `{method} {route}` needs {least}");
                assert_eq!(answer.error(), error);
            }
            expected.push((Some(role), *method, *route, status));
        }
    }
    let calls = site.desk.calls();
    let told: Vec<_> = calls
        .iter()
        .map(|call| (call.caller.as_ref().map(|caller| caller.role), &*call.method, &*call.route, call.status))
        .collect();
    assert_eq!(told, expected, "every call is in the audit, once, in order");
}

#[test]
fn the_table_is_complete_and_the_document_says_the_same() {
    let document: Value = serde_json::from_str(&document::openapi().unwrap()).unwrap();
    let mut documented = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            documented.insert((method.to_uppercase(), path.clone()), operation["x-role"].as_str().unwrap().to_owned());
        }
    }
    let table: BTreeMap<_, _> = ROUTES
        .iter()
        .map(|(method, route, _, role)| (((*method).to_owned(), (*route).to_owned()), role.name().to_owned()))
        .collect();
    assert_eq!(documented, table);
}

/// Whatever is not in the document is no route: every other method of every path that is.
#[test]
fn what_is_not_documented_does_not_exist() {
    let site = Site::new();
    let known: BTreeSet<_> = ROUTES.iter().map(|(method, route, ..)| (*method, *route)).collect();
    for route in ROUTES.iter().map(|(_, route, ..)| *route).collect::<BTreeSet<_>>() {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
            if known.contains(&(method, route)) {
                continue;
            }
            let answer = site.as_role(Role::Administrator, method, &route.replace("{id}", ID), None);
            assert_eq!(answer.status, 405, "{method} {route}");
            assert!(answer.error().contains("method"));
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    for path in ["/", "/v1", "/v1/action", "/v1/actions/", "/v1/actions/a/b", "/v2/actions", "/metrics"] {
        let answer = site.as_role(Role::Administrator, "GET", path, None);
        assert_eq!((answer.status, answer.error().as_str()), (404, "there is no such route"), "{path}");
        assert_eq!(site.call("GET", path, None, None).status, 401, "{path}: strangers do not learn what exists");
    }
    assert!(site.desk.commands().is_empty());
}
