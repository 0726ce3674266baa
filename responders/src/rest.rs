//! Whatever gateways and sinks are asked by HTTP: our own TLS, no redirects, bounded answers, a time limit for each request, and
//! what went wrong as a [`Failure`].

use std::error::Error as _;
use std::io::Read;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::blocking::{Client, ClientBuilder, RequestBuilder};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Url, redirect};
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::gateways::{Failure, FailureKind, clock};
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
    /// Where it goes is said by the configuration alone.
    ///
    /// # Errors
    /// Certificates that cannot be used.
    pub fn new(tls: &TlsConfig) -> Result<Rest, Error> {
        Rest::built(Client::builder().no_proxy(), tls)
    }

    /// By way of the proxy that the environment names, if it names one.
    ///
    /// # Errors
    /// Certificates that cannot be used.
    pub fn by_proxy(tls: &TlsConfig) -> Result<Rest, Error> {
        Rest::built(Client::builder(), tls)
    }

    /// With what else is said of it.
    ///
    /// # Errors
    /// Certificates that cannot be used.
    pub fn built(builder: ClientBuilder, tls: &TlsConfig) -> Result<Rest, Error> {
        let config = tls.client()?;
        let client = builder
            .tls_backend_preconfigured((*config).clone())
            .redirect(redirect::Policy::none())
            .user_agent(concat!("vedette/", env!("CARGO_PKG_VERSION")))
            // Longer ones are often closed by the other side just when they are used again.
            .pool_idle_timeout(Duration::from_secs(4))
            .build()
            .map_err(|error| Error::Tls { problem: reason(&error) })?;
        Ok(Rest { client })
    }
}

/// Whether what is sent there is for nobody else to read: HTTPS, or HTTP that does not leave this machine; `plain` allows HTTP
/// to others.
pub fn guarded(url: &Url, plain: bool) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_here = || host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    match url.scheme() {
        "https" => true,
        "http" => plain || is_here(),
        _ => false,
    }
}

/// The whole answer, whatever its status is.
///
/// # Errors
/// No answer in time, or one that is too large.
pub fn ask(request: RequestBuilder, within: Duration) -> Result<Answer, Failure> {
    let (answer, missing) = sent(request, within)?;
    missing.map_or(Ok(answer), Err)
}

/// For messages: with the status they have arrived, or not, whether or not all of the answer comes.
///
/// # Errors
/// No answer in time.
pub fn tell(request: RequestBuilder, within: Duration) -> Result<Answer, Failure> {
    sent(request, within).map(|(answer, _)| answer)
}

/// And why some of its body is missing, if it is.
fn sent(request: RequestBuilder, within: Duration) -> Result<(Answer, Option<Failure>), Failure> {
    let answer = request.timeout(within).send().map_err(unreachable)?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let mut body = Vec::new();
    let missing = match answer.take(LARGEST + 1).read_to_end(&mut body) {
        Err(error) => Some(Failure::unreachable(format!("its answer broke off: {error}"))),
        Ok(_) if body.len() as u64 > LARGEST => {
            let problem = format!("its answer is longer than {LARGEST} bytes; is the URL the right one?");
            Some(Failure::refused(problem))
        }
        Ok(_) => None,
    };
    Ok((Answer { status, headers, body }, missing))
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
        Some(clock::left(fleet::EventTime(at.timestamp_micros())).unwrap_or_default())
    }

    /// What a status means that is no success; `said` by the other side.
    pub fn failure(&self, said: &str) -> Failure {
        let message = format!("status {}: {}", self.status, shortened(said));
        let retry_after = self.retry_after();
        match self.status {
            401 | 403 => Failure::new(FailureKind::Unauthorised, message),
            409 | 412 => Failure::new(FailureKind::Conflict, message),
            429 => Failure::busy(message, retry_after),
            503 if retry_after.is_some() => Failure::busy(message, retry_after),
            408 | 500.. => Failure { retry_after, ..Failure::unreachable(message) },
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
    if error.is_builder() {
        return Failure::refused(format!("no such request can be made: {}", reason(&error)));
    }
    if error.is_timeout() {
        return Failure::unreachable("no answer in time");
    }
    if error.is_connect() {
        return Failure::unreachable(format!("no connection: {}", reason(&error)));
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
    fn a_request_that_cannot_be_made_is_not_tried_again() {
        let rest = Rest::new(&TlsConfig::default()).unwrap();
        for request in [rest.client.get("no address"), rest.client.get("http://localhost/").header("x", "a\nb")] {
            let failure = tell(request, Duration::from_secs(1)).err().unwrap();
            assert_eq!(failure.kind, FailureKind::Refused, "{failure}");
        }
    }

    #[test]
    fn http_is_for_this_machine_unless_it_is_said_otherwise() {
        let is = |url: &str, plain| guarded(&Url::parse(url).unwrap(), plain);
        for url in ["https://a.example", "http://localhost:1", "http://127.0.0.3/x", "http://[::1]:8080"] {
            assert!(is(url, false), "{url}");
        }
        for url in ["http://a.example", "http://10.0.0.1", "http://localhost.example", "http://[fd00::1]"] {
            assert!(!is(url, false) && is(url, true), "{url}");
        }
        assert!(!is("ftp://localhost", true));
    }

    #[test]
    fn what_is_told_on_is_short_and_one_line() {
        assert_eq!(shortened("a\r\nb"), "a  b");
        let long = shortened(&"ä".repeat(TOLD));
        assert!(long.len() <= TOLD + 3 && long.ends_with("ä..."), "{long}");
    }
}
