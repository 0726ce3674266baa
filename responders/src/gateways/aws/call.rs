//! One request to AWS, signed (SigV4), and what its errors mean.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use reqwest::{Method, Url};
use serde_json::Value;

use super::AwsConfig;
use crate::error::Error;
use crate::gateways::{Failure, FailureKind, Permit, clock};
use crate::rest::{self, Answer, Rest};
use fleet::Secret;

/// What AWS asks for when it says that requests come too fast, and not how long.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Caller {
    rest: Rest,
    region: String,
    access_key_id: Secret,
    secret_access_key: Secret,
    session_token: Option<Secret>,
}

pub(super) struct Request<'a> {
    pub base: &'a Url,
    /// As signatures name it: `iot` or `iotdata`.
    pub service: &'static str,
    pub method: Method,
    /// Each is escaped.
    pub path: &'a [&'a str],
    pub query: &'a [(&'a str, &'a str)],
    pub principal: Option<&'a str>,
    pub body: Option<Value>,
}

impl Caller {
    pub fn new(config: &AwsConfig) -> Result<Caller, Error> {
        let caller = Caller {
            rest: Rest::new(&config.tls)?,
            region: config.region.clone(),
            access_key_id: config.access_key_id.clone(),
            secret_access_key: config.secret_access_key.clone(),
            session_token: config.session_token.clone(),
        };
        caller.credentials()?;
        Ok(caller)
    }

    /// Read anew for each request: whoever rotates keys need not tell us.
    fn credentials(&self) -> Result<Credentials, Error> {
        let token = self.session_token.as_ref().map(Secret::read).transpose()?;
        Ok(Credentials::new(self.access_key_id.read()?, self.secret_access_key.read()?, token, None, "vedette"))
    }

    /// `None`: there is no such thing, group, certificate or connection.
    pub fn send(&self, permit: &Permit, request: &Request<'_>) -> Result<Option<Value>, Failure> {
        let answer = self.answer(permit, request)?;
        if answer.is_success() {
            return if answer.body.is_empty() { Ok(Some(Value::Null)) } else { answer.json().map(Some) };
        }
        let (kind, said) = error_of(&answer);
        if answer.status == 404 && kind == "ResourceNotFoundException" {
            return Ok(None);
        }
        Err(failure(&answer, &kind, &said))
    }

    fn answer(&self, permit: &Permit, request: &Request<'_>) -> Result<Answer, Failure> {
        let mut url = request.base.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::refused(format!("endpoint `{}` has no path", request.base)))?
            .pop_if_empty()
            .extend(request.path);
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(request.query);
        }
        let body = request.body.as_ref().map(Value::to_string).unwrap_or_default();
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(request.principal.map(|principal| ("x-amzn-principal", principal)));

        let credentials =
            self.credentials().map_err(|error| Failure::new(FailureKind::Unauthorised, error.to_string()))?;
        let identity = credentials.into();
        let unsigned =
            |error: &dyn std::fmt::Display| Failure::refused(format!("the request cannot be signed: {error}"));
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(request.service)
            .time(clock::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| unsigned(&error))?
            .into();
        let signable = SignableRequest::new(
            request.method.as_str(),
            url.as_str(),
            headers.iter().copied(),
            SignableBody::Bytes(body.as_bytes()),
        )
        .map_err(|error| unsigned(&error))?;
        let (signed, _) = sign(signable, &params).map_err(|error| unsigned(&error))?.into_parts();

        let mut sent = self.rest.client.request(request.method.clone(), url).body(body);
        for (name, value) in headers.iter().copied().chain(signed.headers()) {
            sent = sent.header(name, value);
        }
        rest::ask(sent, permit.left()?)
    }
}

/// The error's name and what it says. The name comes with a URL behind a colon, or with a namespace before a hash.
fn error_of(answer: &Answer) -> (String, String) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let in_body = || body.get("__type").or_else(|| body.get("code")).and_then(Value::as_str);
    let kind = answer.header("x-amzn-errortype").or_else(in_body).unwrap_or_default();
    let kind = kind.split(':').next().unwrap_or_default().rsplit('#').next().unwrap_or_default();
    let said = body.get("message").or_else(|| body.get("Message")).and_then(Value::as_str);
    (kind.to_owned(), said.map_or_else(|| answer.text(), str::to_owned))
}

fn failure(answer: &Answer, kind: &str, said: &str) -> Failure {
    let mut failure = answer.failure(&format!("{kind}: {said}"));
    // The service model gives throttling status 400, the service sends 429.
    if kind.starts_with("Throttling") || kind == "TooManyRequestsException" || failure.kind == FailureKind::Busy {
        failure.kind = FailureKind::Busy;
        failure.retry_after = answer.retry_after().or(Some(PATIENCE));
    }
    if matches!(kind, "UnauthorizedException" | "UnrecognizedClientException" | "ExpiredTokenException") {
        failure.kind = FailureKind::Unauthorised;
    }
    failure
}
