//! AWS IoT against moto, with AWS's own signer before it (`tests/services/aws_iot.py`). moto has no connections and no
//! errors: what answers those is the front there, as AWS's service model says.

mod disable;
mod errors;
mod quarantine;
mod session;
#[path = "../support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use reqwest::blocking::Client;
use responders::gateways::aws::{AwsConfig, AwsGateway};
use responders::rest::Rest;
use responders::tls::TlsConfig;
use serde_json::{Value, json};
use support::{demand, root, secret};
use tempfile::TempDir;

const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// One for all tests: it takes a second to start. It ends with this program by itself.
fn address() -> Option<&'static str> {
    static ADDRESS: OnceLock<Option<String>> = OnceLock::new();
    let address = ADDRESS.get_or_init(|| {
        let mut child = Command::new("python3")
            .arg(root().join("tests/services/aws_iot.py"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
        line.trim().strip_prefix("listening on ").map(str::to_owned)
    });
    address.as_deref()
}

/// An account as a test sees it: names begin with the test's own, so that tests share it.
struct Account {
    address: &'static str,
    name: &'static str,
    group: String,
    client: Client,
    folder: TempDir,
}

impl Account {
    /// With a group that denies.
    fn of(name: &'static str) -> Option<Account> {
        let remedy = "it needs Python 3.11 and what tests/services/fetch.sh fetches";
        let address = address();
        if !demand(address.is_some(), &format!("AWS IoT: {name}"), remedy) {
            return None;
        }
        let client = Rest::new(&TlsConfig::default()).expect("a client is made").client;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let account = Account { address: address?, name, group: format!("{name}-quarantine"), client, folder };
        account.make_group(&account.group, "Deny");
        Some(account)
    }

    fn make_group(&self, group: &str, effect: &str) {
        let made = self.admin("POST", &format!("/thing-groups/{group}"), None, &json!({}));
        let document =
            json!({"Version": "2012-10-17", "Statement": {"Effect": effect, "Action": "iot:*", "Resource": "*"}});
        let policy = format!("{group}-{effect}");
        self.admin("POST", &format!("/policies/{policy}"), None, &json!({"policyDocument": document.to_string()}));
        self.admin("PUT", &format!("/target-policies/{policy}"), None, &json!({"target": made["thingGroupArn"]}));
    }

    /// Its own name, with an attribute of somebody's.
    fn make_thing(&self, suffix: &str) -> String {
        let thing = format!("{}-{suffix}", self.name);
        let attributes = json!({"attributePayload": {"attributes": {"room": "12"}}});
        self.admin("POST", &format!("/things/{thing}"), None, &attributes);
        thing
    }

    fn thing(&self, suffix: &str) -> String {
        let thing = self.make_thing(suffix);
        self.attach(&thing, &self.certificate().1);
        thing
    }

    /// Id and ARN.
    fn certificate(&self) -> (String, String) {
        let made = self.admin("POST", "/keys-and-certificate?setAsActive=true", None, &json!({}));
        let text = |field: &str| made[field].as_str().expect("a certificate has it").to_owned();
        (text("certificateId"), text("certificateArn"))
    }

    fn attach(&self, thing: &str, certificate: &str) {
        self.admin("PUT", &format!("/things/{thing}/principals"), Some(certificate), &json!({}));
    }

    fn set_status(&self, certificate: &str, status: &str) {
        self.admin("PUT", &format!("/certificates/{certificate}?newStatus={status}"), None, &json!({}));
    }

    fn status(&self, certificate: &str) -> String {
        let found = self.admin("GET", &format!("/certificates/{certificate}"), None, &json!({}));
        found["certificateDescription"]["status"].as_str().expect("a certificate has a status").to_owned()
    }

    fn attributes(&self, thing: &str) -> Value {
        self.admin("GET", &format!("/things/{thing}"), None, &json!({}))["attributes"].clone()
    }

    fn is_in_group(&self, thing: &str) -> bool {
        let found = self.admin("GET", &format!("/things/{thing}/thing-groups"), None, &json!({}));
        let groups = found["thingGroups"].as_array().expect("groups are listed");
        groups.iter().any(|group| group["groupName"] == *self.group)
    }

    fn put_in_group(&self, thing: &str) {
        let body = json!({"thingGroupName": self.group, "thingName": thing});
        self.admin("PUT", "/thing-groups/addThingToThingGroup", None, &body);
    }

    fn admin(&self, method: &str, path: &str, principal: Option<&str>, body: &Value) -> Value {
        let url = format!("http://{}/-/as-admin{path}", self.address);
        let method = method.parse().expect("a method");
        let mut request =
            self.client.request(method, url).header("content-type", "application/json").body(body.to_string());
        if let Some(principal) = principal {
            request = request.header("x-amzn-principal", principal);
        }
        let answer = request.send().expect("moto answers");
        let status = answer.status();
        let text = answer.text().expect("an answer is text");
        assert!(status.is_success(), "{path}: {status} {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("an answer is JSON") }
    }

    /// See `tests/services/aws_iot.py`.
    fn tell(&self, what: &str) {
        let url = format!("http://{}/-/{what}", self.address);
        assert!(self.client.post(url).send().expect("the front answers").status().is_success());
    }

    fn config(&self) -> AwsConfig {
        AwsConfig {
            region: "eu-west-1".to_owned(),
            group: self.group.clone(),
            access_key_id: secret(&self.folder, "key", KEY),
            secret_access_key: secret(&self.folder, "secret", SECRET),
            session_token: None,
            endpoint: Some(format!("http://{}", self.address)),
            data_endpoint: Some(format!("http://{}/", self.address)),
            exclusive_things: false,
            tls: Default::default(),
            time_limit_seconds: 10,
            own: Default::default(),
        }
    }

    fn gateway(&self) -> AwsGateway {
        AwsGateway::new("cloud", &self.config()).expect("the configuration is right")
    }
}
