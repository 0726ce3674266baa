//! Where messages go by HTTP, and one request for one message.

use std::time::Duration;

use reqwest::Url;
use reqwest::blocking::RequestBuilder;
use reqwest::header::{AUTHORIZATION, HeaderValue};

use super::config::Setting;
use crate::error::Error;
use crate::gateways::Failure;
use crate::rest::{self, Answer, Rest};
use crate::tls::TlsConfig;

/// Who receives messages. Address and authorization may be secrets: neither is ever said.
pub(super) struct Receiver {
    rest: Rest,
    url: Url,
    authorization: Option<HeaderValue>,
    limit: Duration,
}

impl Receiver {
    /// `of`: the sink, for errors.
    pub fn new(
        of: &str,
        url: &Setting,
        authorization: Option<&Setting>,
        tls: &TlsConfig,
        limit_seconds: u64,
    ) -> Result<Receiver, Error> {
        let url = address(url, of)?;
        let authorization = authorization.map(|setting| header(setting, of)).transpose()?;
        // The environment's proxy is asked, but not about this machine itself.
        let rest = if url.scheme() == "http" { Rest::new(tls) } else { Rest::by_proxy(tls) }?;
        Ok(Receiver { rest, url, authorization, limit: Duration::from_secs(limit_seconds) })
    }

    pub fn post(&self) -> RequestBuilder {
        let request = self.rest.client.post(self.url.clone());
        match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        }
    }

    /// # Errors
    /// No answer within the limit.
    pub fn send(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        rest::tell(request, self.limit)
    }
}

/// HTTPS, or HTTP within this machine.
fn address(setting: &Setting, of: &str) -> Result<Url, Error> {
    let wrong = |what: &str| {
        let shown = match setting {
            // What is behind the host may be a secret.
            Setting::Here(url) => match Url::parse(url).ok().as_ref().and_then(Url::host_str) {
                Some(host) => format!("one of `{host}`"),
                None => "no URL".to_owned(),
            },
            Setting::Secret(secret) => format!("{secret:?}"),
        };
        Error::Wrong(format!("responders.tell `{of}`: url is {shown}, {what}"))
    };
    let url = Url::parse(&setting.read()?).map_err(|_| wrong("expected `https://host/path`"))?;
    if rest::guarded(&url, false) {
        return Ok(url);
    }
    Err(wrong("expected https; http is for this machine itself only"))
}

fn header(setting: &Setting, of: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(&setting.read()?).map_err(|_| {
        Error::Wrong(format!(
            "responders.tell `{of}`: authorization is no header, expected printable ASCII in one line"
        ))
    })?;
    value.set_sensitive(true);
    Ok(value)
}
