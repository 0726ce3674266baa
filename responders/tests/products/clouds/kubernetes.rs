//! Kubernetes: server-side apply, merge patches under a resource version.

use fleet::Level;
use responders::gateways::{FailureKind, Found, Gateway, Key, Order, Permit, Undone};
use serde_json::{Value, json};

use crate::rig::{PASSWORD, Rig, another, believes_nothing, order};
use crate::server::{Reply, Request, StandIn};

struct Cluster {
    pod: Option<Value>,
    version: u64,
    network_policy: Option<Value>,
    /// Policies of other people.
    others: Vec<Value>,
    meanwhile: bool,
}

fn status(code: u16, reason: &str) -> Reply {
    Reply::json(code, json!({"kind": "Status", "status": "Failure", "message": reason, "code": code}))
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        match value {
            Value::Null => drop(target.as_object_mut().unwrap().remove(name)),
            value => merge(&mut target[name], value),
        }
    }
}

impl Cluster {
    fn policies(&self) -> impl Iterator<Item = &Value> {
        self.network_policy.iter().chain(&self.others)
    }
}

impl StandIn for Cluster {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.header("authorization") != format!("Bearer {PASSWORD}") {
            return status(401, "Unauthorized");
        }
        let kind = request.header("content-type");
        match request.route() {
            ("GET", path) if path.last() == Some(&"networkpolicies") => {
                let mut items: Vec<Value> = self.policies().cloned().collect();
                let limit = request.asks("limit").parse().unwrap();
                let more = if items.len() > limit { "more" } else { "" };
                items.truncate(limit);
                let list = json!({"kind": "NetworkPolicyList", "metadata": {"continue": more}, "items": items});
                Reply::json(200, list)
            }
            ("GET", path) if path.len() == 7 && path[5] == "networkpolicies" => {
                match self.policies().find(|policy| policy["metadata"]["name"] == path[6]) {
                    None => status(404, "not found"),
                    Some(found) => Reply::json(200, found.clone()),
                }
            }
            ("PATCH", path) if path.ends_with(&["networkpolicies", "vedette-quarantine"]) => {
                assert_eq!((kind, request.asks("fieldManager")), ("application/apply-patch+yaml", "vedette"));
                let conflict = self.network_policy.is_some() && request.asks("force") != "true";
                if conflict {
                    return status(409, "conflict with another field manager");
                }
                let code = if self.network_policy.is_some() { 200 } else { 201 };
                self.network_policy = Some(request.body.clone());
                Reply::json(code, request.body.clone())
            }
            ("GET", path) if path == ["api", "v1", "namespaces", "default", "pods", "pod-1"] => match &self.pod {
                None => status(404, "pods \"pod-1\" not found"),
                Some(pod) => {
                    let mut pod = pod.clone();
                    pod["metadata"]["resourceVersion"] = json!(self.version.to_string());
                    if std::mem::take(&mut self.meanwhile) {
                        self.version += 1;
                    }
                    Reply::json(200, pod)
                }
            },
            ("PATCH", path) if path == ["api", "v1", "namespaces", "default", "pods", "pod-1"] => {
                assert_eq!(kind, "application/merge-patch+json");
                let Some(pod) = &mut self.pod else { return status(404, "pods \"pod-1\" not found") };
                if request.body["metadata"]["resourceVersion"] != json!(self.version.to_string()) {
                    return status(409, "the object has been modified");
                }
                merge(pod, &request.body);
                self.version += 1;
                Reply::json(200, pod.clone())
            }
            (method, path) => panic!("{method} {path:?}"),
        }
    }
}

fn cluster() -> Rig<Cluster> {
    let pod = json!({"metadata": {"name": "pod-1", "labels": {"app": "camera"}}});
    Rig::new(
        "kubernetes",
        Cluster { pod: Some(pod), version: 1, network_policy: None, others: Vec::new(), meanwhile: false },
        "",
        &["token"],
    )
}

fn device() -> Order {
    order(Level::Quarantine, &[(Key::Thing, "pod-1")])
}

fn policy(name: &str, selector: Value, rules: Value) -> Value {
    let mut policy = json!({"kind": "NetworkPolicy", "metadata": {"name": name}, "spec": rules});
    policy["spec"]["podSelector"] = selector;
    policy
}

#[test]
fn kubernetes_labels_a_pod_that_a_policy_closes() {
    let mut rig = cluster();
    rig.round(&device());
    assert_eq!(rig.server.product().pod.as_ref().unwrap()["metadata"]["labels"], json!({"app": "camera"}));
    let policy = rig.server.product().network_policy.clone().unwrap();
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
}

#[test]
fn kubernetes_with_an_opened_policy_is_not_in_force() {
    let mut rig = cluster();
    let known = rig.applied(&device());
    for opened in [
        Some(policy(
            "vedette-quarantine",
            json!({"matchLabels": {"vedette/quarantine": "true"}}),
            json!({"policyTypes": ["Ingress", "Egress"], "egress": [{}]}),
        )),
        None,
    ] {
        rig.server.product().network_policy = opened;
        assert_eq!(rig.found(&known), Found::Partly);
        rig.apply(&known).unwrap();
        assert_eq!(rig.found(&known), Found::InForce);
    }
}

/// Policies add up: what any of them allows is allowed.
#[test]
fn kubernetes_with_a_pod_that_another_policy_keeps_open_is_not_in_force() {
    let ingress = || json!({"policyTypes": ["Ingress"], "ingress": [{}]});
    let expression = |key: &str, operator: &str| json!({"matchExpressions": [{"key": key, "operator": operator}]});
    let values =
        |key: &str| json!({"matchExpressions": [{"key": key, "operator": "In", "values": ["camera", "lamp"]}]});
    for (selector, rules) in [
        (json!({}), ingress()),
        (
            json!({"matchLabels": {}}),
            json!({"policyTypes": ["Ingress", "Egress"], "egress": [{"ports": [{"port": 53}]}]}),
        ),
        (json!({"matchLabels": {"app": "camera"}}), ingress()),
        (json!({"matchLabels": {"app": "camera"}}), json!({"policyTypes": ["Egress"], "egress": [{}]})),
        (expression("app", "Exists"), ingress()),
        (expression("tier", "DoesNotExist"), ingress()),
        (values("app"), ingress()),
    ] {
        let opener = policy("allow-some", selector, rules);
        let mut rig = cluster();
        rig.server.product().others = vec![opener.clone()];
        let failure = rig.apply(&device()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Refused, "{opener}");
        assert!(failure.message.contains("network policy `allow-some` selects the pod"), "{failure}");
        assert!(rig.server.product().network_policy.is_none(), "nothing is left behind");
        assert_eq!(rig.server.product().pod.as_ref().unwrap()["metadata"]["labels"], json!({"app": "camera"}));

        let mut rig = cluster();
        let known = rig.applied(&device());
        rig.server.product().others = vec![opener.clone()];
        assert_eq!(rig.found(&known), Found::Partly, "{opener}");
        assert!(rig.apply(&known).unwrap_err().message.contains("`allow-some`"));
        assert_eq!(rig.undo(&known), Ok(Undone::Done));
        assert_eq!(rig.server.product().pod.as_ref().unwrap()["metadata"]["labels"], json!({"app": "camera"}));
    }
}

#[test]
fn kubernetes_with_policies_that_leave_the_pod_alone_is_in_force() {
    let open = || json!({"policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]});
    let expression = |key: &str, operator: &str| json!({"matchExpressions": [{"key": key, "operator": operator}]});
    let mut rig = cluster();
    rig.server.product().others = vec![
        policy("another-app", json!({"matchLabels": {"app": "web"}}), open()),
        policy("another-tier", json!({"matchLabels": {"app": "camera", "tier": "back"}}), open()),
        policy("all-but-quarantined", expression("vedette/quarantine", "DoesNotExist"), open()),
        policy("all-with-a-tier", expression("tier", "Exists"), open()),
        policy("deny", json!({}), json!({"policyTypes": ["Ingress", "Egress"]})),
        policy("deny-ingress", json!({}), json!({"policyTypes": ["Ingress"], "ingress": [], "egress": [{}]})),
        policy("deny-egress", json!({}), json!({"policyTypes": ["Egress"], "ingress": [{}]})),
    ];
    rig.round(&device());
}

#[test]
fn kubernetes_with_more_policies_than_a_page_is_not_believed() {
    let mut rig = cluster();
    let known = rig.applied(&device());
    let other = policy("other", json!({"matchLabels": {"app": "web"}}), json!({"policyTypes": ["Ingress"]}));
    rig.server.product().others = vec![other; 500];
    assert!(rig.gateway.read_back(&Permit::for_tests(), &known).is_err());
    assert_eq!(rig.undo(&known), Ok(Undone::Done), "nobody stays cut off for it");
    assert_eq!(rig.found(&known), Found::Absent);
}

#[test]
fn kubernetes_changed_meanwhile_is_a_conflict() {
    let mut rig = cluster();
    rig.server.product().meanwhile = true;
    assert_eq!(rig.apply(&device()).unwrap_err().kind, FailureKind::Conflict);
    rig.apply(&device()).unwrap();
}

#[test]
fn kubernetes_leaves_the_label_of_another_action() {
    let mut rig = cluster();
    let known = rig.applied(&device());
    assert_eq!(rig.undo(&another(&known)), Ok(Undone::Foreign { by: "vedette:act-1".to_owned() }));
    assert_eq!(rig.found(&known), Found::InForce);
}

#[test]
fn kubernetes_pod_that_is_gone_is_absent() {
    let mut rig = cluster();
    let known = rig.applied(&device());
    rig.server.product().pod = None;
    assert_eq!(rig.found(&known), Found::Absent);
    assert_eq!(rig.undo(&known), Ok(Undone::Already));
    assert_eq!(rig.apply(&known).unwrap_err().kind, FailureKind::Refused);
}

#[test]
fn kubernetes_that_says_nothing_is_not_believed() {
    believes_nothing(cluster, &device());
}
