//! Chats and tickets: what is shipped makes JSON of whatever a device calls itself, and believes no false success.

use std::collections::BTreeMap;

use fleet::Severity;
use responders::tell::templated::Template;
use serde_json::Value;

use crate::receivers::{PATIENCE, Web, answer};
use crate::sample::{any_finding, finding};
use crate::syslog::{messages, sink};

const SHIPPED: [&str; 6] = ["slack", "mattermost", "teams", "ticket", "jira", "servicenow"];

fn params(name: &str) -> BTreeMap<String, String> {
    let given = if name == "jira" { vec![("project".to_owned(), "SOC \"1\"".to_owned())] } else { Vec::new() };
    given.into_iter().collect()
}

#[test]
fn what_is_shipped_makes_json_of_whatever_a_device_calls_itself() {
    for name in SHIPPED {
        let template = Template::load(name).unwrap();
        for seed in 0..50 {
            for message in messages(&any_finding(seed)) {
                let body = template.render(&params(name), &message).unwrap();
                let json: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{name}: {error}: {body}"));
                assert!(json.is_object() && body.len() < 20_000, "{name}: {body}");
            }
        }
    }
}

#[test]
fn no_name_calls_anybody_or_becomes_a_link() {
    let mut of = finding("<!channel> @all &", "i1", Severity::High);
    of.explanation = "<https://evil.example|click> @here\u{7}".to_owned();
    let message = &messages(&of)[0];
    let text = |name: &str| {
        let body = Template::load(name).unwrap().render(&params(name), message).unwrap();
        serde_json::from_str::<Value>(&body).unwrap()["text"].as_str().unwrap().to_owned()
    };
    let slack = text("slack");
    assert!(slack.contains("&lt;!channel&gt; @\u{200b}all &amp;") && !slack.contains(['<', '>', '\u{7}']), "{slack}");
    assert!(slack.starts_with("*High compromise: ") && slack.contains("*\n&lt;https"), "{slack}");
    let mattermost = text("mattermost");
    assert!(!mattermost.contains("@all") && !mattermost.contains("@here"), "{mattermost}");
}

#[test]
fn success_is_what_the_product_says_it_is() {
    let cases = [
        ("slack", 200, "ok", true),
        ("slack", 200, "invalid_payload", false),
        ("slack", 404, "no_service", false),
        ("mattermost", 200, "ok\n", true),
        ("mattermost", 200, "<html>sign in</html>", false),
        ("teams", 202, "", true),
        ("teams", 200, "1", true),
        ("teams", 200, "Webhook message delivery failed with error: 429", false),
        ("ticket", 201, "", true),
        ("ticket", 302, "", false),
        ("jira", 201, r#"{"id":"10000","key":"SOC-24"}"#, true),
        ("jira", 201, r#"{"errorMessages":["no"]}"#, false),
        ("jira", 201, "[]", false),
        ("jira", 200, "<html>", false),
        ("servicenow", 201, r#"{"result":{"sys_id":"c537"}}"#, true),
        ("servicenow", 201, r#"{"error":{"message":"no"},"status":"failure"}"#, false),
        ("servicenow", 200, r#"{"result":{"sys_id":"c537"}}"#, false),
    ];
    for (name, status, body, expected) in cases {
        let template = Template::load(name).unwrap();
        assert_eq!(template.is_success(status, body), expected, "{name}: {status} {body}");
    }
}

#[test]
fn a_chat_that_answers_200_with_a_failure_is_not_believed() {
    let web = Web::start(|number| match number {
        0 => answer("200 OK", "", "invalid_token"),
        _ => answer("200 OK", "", "ok"),
    });
    let mut sink = sink(&format!("kind = 'chat'\nname = 'c'\ntemplate = 'slack'\nurl = '{}'", web.url("/services/T0")));
    let message = messages(&finding("camera-01", "i1", Severity::High)).remove(0);
    let failure = sink.send(&message).unwrap_err();
    assert_eq!((failure.retry(), failure.message.as_str()), (false, "status 200: invalid_token"));
    sink.send(&message).unwrap();
    let request = web.requests.recv_timeout(PATIENCE).unwrap();
    assert_eq!(request.header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert!(body["text"].as_str().unwrap().starts_with("*High compromise: camera-01 (dome_camera)*\n"), "{body}");
}

#[test]
fn a_ticket_opened_twice_is_told_by_its_id() {
    let message = messages(&finding("camera-01", "i1", Severity::Critical)).remove(0);
    let body = |name: &str| {
        let body = Template::load(name).unwrap().render(&params(name), &message).unwrap();
        serde_json::from_str::<Value>(&body).unwrap()
    };
    assert_eq!(body("jira")["fields"]["labels"][1], format!("vedette-{}", message.key));
    assert_eq!(body("jira")["fields"]["project"]["key"], "SOC \"1\"");
    let now = body("servicenow");
    assert_eq!((&now["correlation_id"], &now["urgency"]), (&Value::from(message.key.clone()), &Value::from("1")));
    assert_eq!(body("ticket")["id"], message.key);
}

#[test]
fn a_template_of_ones_own_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pager.toml");
    std::fs::write(&path, "about = 'a pager'\ncontent_type = 'text/plain'\nbody = '{{ message.severity }} {{ params.to }} {{ event|length > 100 }}'\nexpect = 'json.taken == 1'\nrequired = ['to']\n").unwrap();
    let template = Template::load(path.to_str().unwrap()).unwrap();
    let message = messages(&finding("camera-01", "i1", Severity::Low)).remove(0);
    let given = BTreeMap::from([("to".to_owned(), "ada".to_owned())]);
    assert_eq!(template.render(&given, &message).unwrap(), "low ada True");
    assert!(template.render(&BTreeMap::new(), &message).is_err(), "a value that is missing is no empty one");
    assert!(
        template.is_success(500, r#"{"taken":1}"#) && !template.is_success(200, "{}") && !template.is_success(200, "")
    );
    let error = Template::load("pagre").unwrap_err().to_string();
    assert!(error.contains("`pagre`") && error.contains("slack"), "{error}");
    std::fs::write(&path, "about = 'x'\nbody = ''\nexpect = ''\nbodi = 1").unwrap();
    assert!(Template::load(path.to_str().unwrap()).unwrap_err().to_string().contains("bodi"));
}
