//! One HTTP request for one message, within its time.

use std::io::Read;
use std::time::Duration;

use reqwest::blocking::{Client, RequestBuilder};
use reqwest::header::HeaderValue;
use reqwest::{StatusCode, Url};

use super::config::Setting;
use crate::error::Error;
use crate::gateways::{Failure, FailureKind};
use crate::tls::TlsConfig;

/// More of an answer is not read.
const MOST_BYTES: u64 = 64 << 10;
/// Characters of an answer that an error repeats.
const SAID: usize = 120;
/// Longest pause that is granted.
const LONGEST_PAUSE: u64 = 3600;

pub(super) struct Answer {
    pub status: StatusCode,
    pub body: String,
    retry_after: Option<Duration>,
}

/// An address that redirects is a wrong one: a signed message, or a token, is not taken elsewhere.
///
/// The environment's proxy is asked, but not about this machine itself.
pub(super) fn client(url: &Url, tls: &TlsConfig, limit: Duration) -> Result<Client, Error> {
    let tls = tls.client()?;
    let builder = if url.scheme() == "http" { Client::builder().no_proxy() } else { Client::builder() };
    builder
        .tls_backend_preconfigured((*tls).clone())
        .timeout(limit)
        .connect_timeout(limit)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("vedette/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Error::Tls { problem: error.to_string() })
}

/// HTTPS, or HTTP within this machine.
pub(super) fn address(setting: &Setting, of: &str) -> Result<Url, Error> {
    let wrong = |what: &str| {
        let shown = match setting {
            Setting::Here(url) => format!("`{url}`"),
            Setting::Secret(secret) => format!("{secret:?}"),
        };
        Error::Wrong(format!("responders.tell `{of}`: url is {shown}, {what}"))
    };
    let url = Url::parse(&setting.read()?).map_err(|_| wrong("expected `https://host/path`"))?;
    let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        _ => Err(wrong("expected https; http is for this machine itself only")),
    }
}

pub(super) fn authorization(setting: Option<&Setting>, of: &str) -> Result<Option<HeaderValue>, Error> {
    let Some(setting) = setting else { return Ok(None) };
    let mut value = HeaderValue::from_str(&setting.read()?).map_err(|_| {
        Error::Wrong(format!(
            "responders.tell `{of}`: authorization is no header, expected printable ASCII in one line"
        ))
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

pub(super) fn ask(request: RequestBuilder) -> Result<Answer, Failure> {
    // The address may be a secret: it is not said.
    let response = request.send().map_err(|error| Failure::unreachable(reason(&error.without_url())))?;
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|value| value.trim().parse::<u64>().ok());
    let status = response.status();
    let mut body = Vec::new();
    // What was read until then may do: the status is there.
    let _ = response.take(MOST_BYTES).read_to_end(&mut body);
    Ok(Answer {
        status,
        body: String::from_utf8_lossy(&body).into_owned(),
        retry_after: retry_after.map(|seconds| Duration::from_secs(seconds.min(LONGEST_PAUSE))),
    })
}

fn reason(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

impl Answer {
    /// Why an answer was not the one that was expected.
    pub fn failure(&self) -> Failure {
        let said: String = self.body.chars().take(SAID).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let message = format!("it answered {} `{said}`", self.status.as_u16());
        match self.status.as_u16() {
            429 | 503 => Failure::busy(message, self.retry_after),
            401 | 403 => Failure::new(FailureKind::Unauthorised, message),
            408 | 500..=599 => Failure::unreachable(message),
            _ => Failure::refused(message),
        }
    }
}
