//! Azure IoT Hub: signed requests, an etag that somebody else may change, and little patience.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fleet::Level;
use responders::gateways::{FailureKind, Found, Key, Order, Undone};
use serde_json::{Value, json};

use crate::rig::{Rig, another, believes_nothing, now, order};
use crate::server::{Reply, Request, StandIn, decoded};

const KEY: &str = "dmVkZXR0ZS10ZXN0LWtleS1pbi1iYXNlNjQ=";

struct Hub {
    identity: Value,
    version: u64,
    /// Somebody changes the identity after it was read.
    meanwhile: bool,
    throttled: bool,
    /// Answers 200, and leaves it enabled.
    ignores: bool,
}

impl Hub {
    fn shown(&self) -> Value {
        let mut shown = self.identity.clone();
        shown["etag"] = json!(format!("AAA{}=", self.version));
        shown
    }

    fn is_signed(request: &Request) -> bool {
        let Some(fields) = request.header("authorization").strip_prefix("SharedAccessSignature ") else { return false };
        let field = |name: &str| {
            let pair = fields.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
            pair.unwrap_or("").to_owned()
        };
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &STANDARD.decode(KEY).unwrap());
        let signature = STANDARD.decode(decoded(&field("sig").replace('+', "%2B"))).unwrap();
        let signed = format!("{}\n{}", field("sr"), field("se"));
        let good = ring::hmac::verify(&key, signed.as_bytes(), &signature).is_ok();
        good && field("sr") == "127.0.0.1"
            && field("skn") == "registryReadWrite"
            && field("se").parse::<i64>().unwrap() > now()
    }
}

impl StandIn for Hub {
    fn answer(&mut self, request: &Request) -> Reply {
        if !Hub::is_signed(request) {
            return Reply::json(401, json!({"Message": "ErrorCode:IotHubUnauthorizedAccess;Unauthorized"}));
        }
        assert_eq!(request.asks("api-version"), "2021-04-12");
        if self.throttled {
            return Reply::json(429, json!({"Message": "ErrorCode:ThrottlingException"})).with("Retry-After", "11");
        }
        match request.route() {
            ("GET", path) if path == ["statistics", "devices"] => Reply::json(200, json!({"totalDeviceCount": 1})),
            ("GET", path) if path == ["devices", "dev-1"] => {
                let shown = self.shown();
                if std::mem::take(&mut self.meanwhile) {
                    self.version += 1;
                }
                Reply::json(200, shown)
            }
            ("PUT", path) if path == ["devices", "dev-1"] => {
                if request.header("if-match") != format!("\"AAA{}=\"", self.version) {
                    return Reply::json(412, json!({"Message": "ErrorCode:PreconditionFailed"}));
                }
                assert_eq!(request.body["authentication"], self.identity["authentication"], "it would get new keys");
                assert!(request.body["statusReason"].as_str().unwrap().len() <= 128);
                if self.ignores {
                    return Reply::json(200, self.shown());
                }
                self.identity = request.body.clone();
                self.version += 1;
                Reply::json(200, self.shown())
            }
            _ => Reply::json(404, json!({"Message": "ErrorCode:DeviceNotFound"})),
        }
    }
}

fn hub() -> Rig<Hub> {
    let authentication =
        json!({"type": "sas", "symmetricKey": {"primaryKey": "cHJpbWFyeQ==", "secondaryKey": "c2Vjb25k"}});
    let identity = json!({"deviceId": "dev-1", "generationId": "1", "status": "enabled", "statusReason": null,
        "authentication": authentication, "capabilities": {"iotEdge": false}});
    let stand_in = Hub { identity, version: 1, meanwhile: false, throttled: false, ignores: false };
    Rig::with_secrets("azure-iot-hub", stand_in, "", &[("key", KEY)])
}

fn device() -> Order {
    order(Level::Disable, &[(Key::Thing, "dev-1")])
}

#[test]
fn azure_disables_and_enables_the_whole_identity() {
    let mut rig = hub();
    let before = rig.server.product().identity.clone();
    let known = rig.round(&device());
    assert_eq!(known.receipt, None, "keys of devices are in no receipt");
    let mut after = rig.server.product().identity.clone();
    after.as_object_mut().unwrap().remove("etag");
    assert_eq!(after["statusReason"], "");
    after["statusReason"] = Value::Null;
    assert_eq!(after, before);
}

#[test]
fn azure_changed_meanwhile_is_a_conflict() {
    let mut rig = hub();
    rig.server.product().meanwhile = true;
    let failure = rig.apply(&device()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Conflict);
    assert!(failure.message.contains("PreconditionFailed"), "{failure}");
    assert_eq!(rig.server.product().identity["status"], "enabled");
    rig.apply(&device()).unwrap();
}

#[test]
fn azure_throttles() {
    let mut rig = hub();
    rig.server.product().throttled = true;
    let failure = rig.apply(&device()).unwrap_err();
    assert_eq!((failure.kind, failure.retry_after.map(|wait| wait.as_secs())), (FailureKind::Busy, Some(11)));
}

#[test]
fn azure_leaves_what_somebody_else_disabled() {
    let mut rig = hub();
    let known = rig.applied(&device());
    assert_eq!(rig.undo(&another(&known)), Ok(Undone::Foreign { by: "vedette:act-1".to_owned() }));
    rig.server.product().identity["statusReason"] = json!("stolen");
    assert_eq!(rig.found(&known), Found::Foreign { by: "stolen".to_owned() });
    assert_eq!(rig.apply(&known).unwrap_err().kind, FailureKind::Conflict);
    assert_eq!(rig.undo(&known), Ok(Undone::Foreign { by: "stolen".to_owned() }));
}

#[test]
fn azure_knows_no_such_device() {
    let mut rig = hub();
    let order = order(Level::Disable, &[(Key::Thing, "dev-2")]);
    assert_eq!(rig.found(&order), Found::Absent);
    assert_eq!(rig.apply(&order).unwrap_err().kind, FailureKind::Refused);
}

#[test]
fn azure_that_did_not_disable_it_is_noticed_and_no_key_is_told() {
    let mut rig = hub();
    rig.server.product().ignores = true;
    let failure = rig.apply(&device()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("status \"enabled\"") && !failure.message.contains("cHJpbWFyeQ"), "{failure}");
}

#[test]
fn azure_that_says_nothing_is_not_believed() {
    believes_nothing(hub, &device());
}
