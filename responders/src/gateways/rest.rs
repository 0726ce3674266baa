//! One HTTP request within its permit: our own TLS, no redirects, no proxy, bounded answers, and what went wrong as a
//! [`Failure`].

use std::error::Error as _;
use std::io::Read;
use std::time::Duration;

use reqwest::blocking::{Client, RequestBuilder};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect;
use serde::de::DeserializeOwned;

use super::{Failure, FailureKind, Permit};
use crate::error::Error;
use crate::tls::TlsConfig;

/// No answer that is meant for us is larger.
const LARGEST: u64 = 1 << 20;
/// How much of what a gateway says is told on, in bytes.
const TOLD: usize = 300;

/// A request that takes its URL's host elsewhere would take our secrets there too: redirects are answers like any other.
pub struct Rest {
    pub client: Client,
}

impl Rest {
    /// # Errors
    /// Certificates that cannot be used.
    pub fn new(tls: &TlsConfig) -> Result<Rest, Error> {
        let config = tls.client()?;
        let client = Client::builder()
            .tls_backend_preconfigured((*config).clone())
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("vedette/", env!("CARGO_PKG_VERSION")))
            // Longer ones are often closed by the other side just when they are used again.
            .pool_idle_timeout(Duration::from_secs(4))
            .build()
            .map_err(|error| Error::Tls { problem: reason(&error) })?;
        Ok(Rest { client })
    }

    /// Whatever the status is.
    ///
    /// # Errors
    /// No answer within the permit, or one that is too large.
    pub fn send(permit: &Permit, request: RequestBuilder) -> Result<Answer, Failure> {
        let answer = request.timeout(permit.left()?).send().map_err(unreachable)?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let mut body = Vec::new();
        answer
            .take(LARGEST + 1)
            .read_to_end(&mut body)
            .map_err(|error| Failure::unreachable(format!("its answer broke off: {error}")))?;
        if body.len() as u64 > LARGEST {
            return Err(Failure::refused(format!(
                "its answer has more than {LARGEST} bytes; is the URL the right one?"
            )));
        }
        Ok(Answer { status, headers, body })
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// # Errors
    /// It is not what was expected; its beginning is told.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Failure::refused(format!(
                "status {} with `{}`: {error}; is the URL the right one?",
                self.status,
                self.text()
            ))
        })
    }

    /// The beginning, fit for a log.
    pub fn text(&self) -> String {
        shortened(&String::from_utf8_lossy(&self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Seconds, or the date of RFC 9110.
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let at = chrono::DateTime::parse_from_rfc2822(text).ok()?;
        Some(super::clock::left(fleet::EventTime(at.timestamp_micros())).unwrap_or_default())
    }

    /// What a status means that is no success; `said` by the gateway.
    pub fn failure(&self, said: &str) -> Failure {
        let message = format!("status {}: {}", self.status, shortened(said));
        match self.status {
            401 | 403 => Failure::new(FailureKind::Unauthorised, message),
            409 | 412 => Failure::new(FailureKind::Conflict, message),
            429 => Failure::busy(message, self.retry_after()),
            503 if self.retry_after().is_some() => Failure::busy(message, self.retry_after()),
            408 | 500.. => Failure::unreachable(message),
            300..=399 => {
                Failure::refused(format!("{message}; redirects are not followed: configure the URL it leads to"))
            }
            _ => Failure::refused(message),
        }
    }
}

/// Without control characters, and not too long.
pub fn shortened(text: &str) -> String {
    let clean: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if clean.len() <= TOLD {
        return clean;
    }
    let end = (0..=TOLD).rev().find(|at| clean.is_char_boundary(*at)).unwrap_or(0);
    format!("{}...", &clean[..end])
}

fn unreachable(error: reqwest::Error) -> Failure {
    // A URL may hold a password.
    let error = error.without_url();
    if error.is_timeout() {
        return Failure::unreachable("no answer in time");
    }
    Failure::unreachable(reason(&error))
}

/// The innermost cause says most.
fn reason(error: &reqwest::Error) -> String {
    let mut told = error.to_string();
    let mut inner = error.source();
    while let Some(cause) = inner {
        told = format!("{error}: {cause}");
        inner = cause.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<&str>) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert(RETRY_AFTER, text.parse().unwrap());
        }
        Answer { status, headers, body: Vec::new() }
    }

    #[test]
    fn a_status_says_whether_to_come_back() {
        let kind = |status| answer(status, None).failure("").kind;
        assert_eq!(kind(400), FailureKind::Refused);
        assert_eq!(kind(301), FailureKind::Refused);
        assert_eq!(kind(403), FailureKind::Unauthorised);
        assert_eq!(kind(412), FailureKind::Conflict);
        assert_eq!(kind(500), FailureKind::Unreachable);
        assert_eq!(answer(429, Some("17")).failure(""), Failure::busy("status 429: ", Some(Duration::from_secs(17))));
        assert_eq!(answer(503, Some("Wed, 21 Oct 2015 07:28:00 GMT")).failure("").retry_after, Some(Duration::ZERO));
    }

    #[test]
    fn what_is_told_on_is_short_and_one_line() {
        assert_eq!(shortened("a\r\nb"), "a  b");
        let long = shortened(&"ä".repeat(TOLD));
        assert!(long.len() <= TOLD + 3 && long.ends_with("ä..."), "{long}");
    }
}
