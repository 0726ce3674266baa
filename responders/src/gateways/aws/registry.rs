//! What is asked of AWS IoT, a function each. Paths and fields are those of AWS's service model (botocore,
//! `iot/2015-05-28` and `iot-data/2015-05-28`).

use std::collections::BTreeMap;

use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::AwsConfig;
use super::call::{Caller, Request};
use super::mark::{ATTRIBUTE, Marks};
use crate::error::Error;
use crate::gateways::{Failure, Order, Permit};

/// More than AWS allows of anything that is listed here.
const PAGES: usize = 50;

pub(super) struct Registry {
    caller: Caller,
    control: Url,
    data: Option<Url>,
}

#[derive(Debug)]
pub(super) struct Thing {
    pub marks: Marks,
    version: Option<i64>,
}

impl Registry {
    pub fn new(config: &AwsConfig) -> Result<Registry, Error> {
        let control = config.endpoint.clone().unwrap_or_else(|| format!("https://iot.{}.amazonaws.com", config.region));
        Ok(Registry {
            caller: Caller::new(config)?,
            control: url(&control)?,
            data: config.data_endpoint.as_deref().map(url).transpose()?,
        })
    }

    fn control(
        &self,
        permit: &Permit,
        method: Method,
        path: &[&str],
        body: Option<Value>,
    ) -> Result<Option<Value>, Failure> {
        let request = Request { base: &self.control, service: "iot", method, path, query: &[], principal: None, body };
        self.caller.send(permit, &request)
    }

    /// Strings of `field` over all pages; `token` names the next page in an answer, `parameter` in a request.
    fn list(&self, permit: &Permit, listing: &Listing<'_>) -> Result<Option<Vec<Value>>, Failure> {
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..PAGES {
            let mut query = listing.query.to_vec();
            query.extend(next.as_deref().map(|token| (listing.parameter, token)));
            let request = Request {
                base: &self.control,
                service: "iot",
                method: listing.method.clone(),
                path: listing.path,
                query: &query,
                principal: listing.principal,
                body: None,
            };
            let Some(mut page) = self.caller.send(permit, &request)? else { return Ok(None) };
            match page.get_mut(listing.field).map(Value::take) {
                Some(Value::Array(found)) => all.extend(found),
                _ => return Err(unexpected(&format!("no list `{}`", listing.field))),
            }
            next = page.get(listing.token).and_then(Value::as_str).map(str::to_owned);
            if next.is_none() {
                return Ok(Some(all));
            }
        }
        Err(unexpected(&format!("more than {PAGES} pages of `{}`", listing.field)))
    }

    pub fn thing(&self, permit: &Permit, thing: &str) -> Result<Option<Thing>, Failure> {
        let Some(found) = self.control(permit, Method::GET, &["things", thing], None)? else { return Ok(None) };
        let attributes: BTreeMap<String, String> =
            serde_json::from_value(found["attributes"].clone()).unwrap_or_default();
        let marks = Marks::parse(attributes.get(ATTRIBUTE).map_or("", String::as_str));
        Ok(Some(Thing { marks, version: found["version"].as_i64() }))
    }

    /// Only if nobody has changed the thing since it was read. An empty attribute is taken away.
    pub fn set_marks(&self, permit: &Permit, name: &str, thing: &Thing, marks: &Marks) -> Result<(), Failure> {
        let mut body = json!({"attributePayload": {"attributes": {ATTRIBUTE: marks.to_attribute()?}, "merge": true}});
        if let Some(version) = thing.version {
            body["expectedVersion"] = version.into();
        }
        let done = self.control(permit, Method::PATCH, &["things", name], Some(body)).map_err(|failure| Failure {
            message: format!(
                "thing `{name}` does not take the attribute `{ATTRIBUTE}`, by which ours is told from others' (a thing without \
                 a type has three attributes at most): {}",
                failure.message
            ),
            ..failure
        })?;
        done.map(drop).ok_or_else(|| gone(name))
    }

    pub fn groups_of(&self, permit: &Permit, thing: &str) -> Result<Vec<String>, Failure> {
        let listing = Listing { path: &["things", thing, "thing-groups"], field: "thingGroups", ..Listing::default() };
        let groups = self.list(permit, &listing)?.ok_or_else(|| gone(thing))?;
        Ok(groups.iter().filter_map(|group| group["groupName"].as_str()).map(str::to_owned).collect())
    }

    pub fn group_arn(&self, permit: &Permit, group: &str) -> Result<Option<String>, Failure> {
        let found = self.control(permit, Method::GET, &["thing-groups", group], None)?;
        Ok(found.and_then(|group| group["thingGroupArn"].as_str().map(str::to_owned)))
    }

    /// Whether a policy with a denial is attached, to it or to a group above it.
    pub fn denies(&self, permit: &Permit, group_arn: &str) -> Result<bool, Failure> {
        let listing = Listing {
            method: Method::POST,
            path: &["attached-policies", group_arn],
            query: &[("recursive", "true")],
            field: "policies",
            token: "nextMarker",
            parameter: "marker",
            ..Listing::default()
        };
        for policy in self.list(permit, &listing)?.unwrap_or_default() {
            let Some(name) = policy["policyName"].as_str() else { continue };
            let Some(found) = self.control(permit, Method::GET, &["policies", name], None)? else { continue };
            if has_denial(found["policyDocument"].as_str().unwrap_or_default()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub fn add_to_group(&self, permit: &Permit, group: &str, thing: &str) -> Result<(), Failure> {
        let body = json!({"thingGroupName": group, "thingName": thing, "overrideDynamicGroups": true});
        let done = self.control(permit, Method::PUT, &["thing-groups", "addThingToThingGroup"], Some(body))?;
        done.map(drop).ok_or_else(|| Failure::refused(format!("there is no thing `{thing}`, or no group `{group}`")))
    }

    pub fn remove_from_group(&self, permit: &Permit, group: &str, thing: &str) -> Result<(), Failure> {
        let body = json!({"thingGroupName": group, "thingName": thing});
        self.control(permit, Method::PUT, &["thing-groups", "removeThingFromThingGroup"], Some(body)).map(drop)
    }

    /// ARNs of the certificates, and of whatever else it signs in with.
    pub fn principals(&self, permit: &Permit, thing: &str) -> Result<Vec<String>, Failure> {
        let listing = Listing { path: &["things", thing, "principals"], field: "principals", ..Listing::default() };
        Ok(strings(self.list(permit, &listing)?.ok_or_else(|| gone(thing))?))
    }

    pub fn things_of(&self, permit: &Permit, principal: &str) -> Result<Vec<String>, Failure> {
        let listing = Listing {
            path: &["principals", "things"],
            field: "things",
            principal: Some(principal),
            ..Listing::default()
        };
        Ok(strings(self.list(permit, &listing)?.unwrap_or_default()))
    }

    /// `ACTIVE`, `INACTIVE`, `REVOKED` or what is on its way there.
    pub fn certificate_status(&self, permit: &Permit, id: &str) -> Result<Option<String>, Failure> {
        let Some(found) = self.control(permit, Method::GET, &["certificates", id], None)? else { return Ok(None) };
        let status = found["certificateDescription"]["status"].as_str();
        status.map(|status| Some(status.to_owned())).ok_or_else(|| unexpected("a certificate without status"))
    }

    /// Never `REVOKED`: there is no way back from it.
    pub fn set_certificate(&self, permit: &Permit, id: &str, active: bool) -> Result<(), Failure> {
        let request = Request {
            base: &self.control,
            service: "iot",
            method: Method::PUT,
            path: &["certificates", id],
            query: &[("newStatus", if active { "ACTIVE" } else { "INACTIVE" })],
            principal: None,
            body: None,
        };
        let done = self.caller.send(permit, &request)?;
        done.map(drop).ok_or_else(|| Failure::refused(format!("there is no certificate `{id}`")))
    }

    fn data(&mut self, permit: &Permit) -> Result<Url, Failure> {
        if let Some(data) = &self.data {
            return Ok(data.clone());
        }
        let request = Request {
            base: &self.control,
            service: "iot",
            method: Method::GET,
            path: &["endpoint"],
            query: &[("endpointType", "iot:Data-ATS")],
            principal: None,
            body: None,
        };
        let found = self.caller.send(permit, &request)?.unwrap_or_default();
        let host = found["endpointAddress"].as_str().ok_or_else(|| unexpected("no `endpointAddress`"))?;
        let data = url(&format!("https://{host}")).map_err(|error| unexpected(&error.to_string()))?;
        Ok(self.data.insert(data).clone())
    }

    fn connection(
        &mut self,
        permit: &Permit,
        method: Method,
        client: &str,
        query: &[(&str, &str)],
    ) -> Result<Option<Value>, Failure> {
        let base = self.data(permit)?;
        let path = ["connections", client];
        let request =
            Request { base: &base, service: "iotdata", method, path: &path, query, principal: None, body: None };
        self.caller.send(permit, &request)
    }

    /// Since when it is connected, milliseconds since 1970; `None` when it is not.
    pub fn connected_since(&mut self, permit: &Permit, client: &str) -> Result<Option<i64>, Failure> {
        let found = self.connection(permit, Method::GET, client, &[])?.unwrap_or_default();
        if found["connected"] != true {
            return Ok(None);
        }
        Ok(Some(found["connectedSince"].as_i64().unwrap_or(0)))
    }

    /// Its last will is not published: it would be told as the device's own word.
    pub fn disconnect(&mut self, permit: &Permit, client: &str) -> Result<(), Failure> {
        let query = [("cleanSession", "false"), ("preventWillMessage", "true")];
        self.connection(permit, Method::DELETE, client, &query).map(drop)
    }
}

struct Listing<'a> {
    method: Method,
    path: &'a [&'a str],
    query: &'a [(&'a str, &'a str)],
    principal: Option<&'a str>,
    field: &'a str,
    token: &'a str,
    parameter: &'a str,
}

impl Default for Listing<'_> {
    fn default() -> Self {
        let method = Method::GET;
        Listing {
            method,
            path: &[],
            query: &[],
            principal: None,
            field: "",
            token: "nextToken",
            parameter: "nextToken",
        }
    }
}

fn strings(values: Vec<Value>) -> Vec<String> {
    values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn has_denial(document: &str) -> bool {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let denies =
        |statement: &Value| statement["Effect"].as_str().is_some_and(|effect| effect.eq_ignore_ascii_case("deny"));
    match &document["Statement"] {
        Value::Array(statements) => statements.iter().any(denies),
        one => denies(one),
    }
}

fn url(text: &str) -> Result<Url, Error> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| {
        Error::Wrong(format!("endpoint `{text}` is no URL, expected such as `https://iot.eu-west-1.amazonaws.com`"))
    })
}

fn unexpected(what: &str) -> Failure {
    Failure::refused(format!("AWS's answer has {what}; is the endpoint the right one?"))
}

fn gone(thing: &str) -> Failure {
    Failure::refused(format!("there is no thing `{thing}` in this account and region; correct the inventory"))
}

/// Whatever AWS allows as a name, and nothing that leads a path elsewhere.
pub(super) fn thing_of(order: &Order) -> Result<&str, Failure> {
    let thing = order.name(crate::gateways::Key::Thing)?;
    let fine = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, ':' | '_' | '-');
    if thing.is_empty() || thing.len() > 128 || !thing.chars().all(fine) {
        return Err(Failure::refused(format!(
            "`{thing}` is no name of a thing, expected letters, digits, `:`, `_` and `-`"
        )));
    }
    Ok(thing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_is_found_in_one_statement_and_in_many() {
        assert!(has_denial(r#"{"Statement": {"Effect": "Deny", "Action": "iot:*"}}"#));
        assert!(has_denial(r#"{"Statement": [{"Effect": "Allow"}, {"Effect": "deny"}]}"#));
        assert!(!has_denial(r#"{"Statement": [{"Effect": "Allow", "Sid": "Deny"}]}"#));
        assert!(!has_denial("not JSON"));
    }

    #[test]
    fn an_endpoint_is_a_url_with_a_host() {
        assert!(url("https://iot.eu-west-1.amazonaws.com").is_ok());
        assert!(url("iot.eu-west-1.amazonaws.com").is_err());
        assert!(url("file:///etc/passwd").is_err());
    }
}
