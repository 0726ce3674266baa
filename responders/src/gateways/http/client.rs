//! One request and its answer: within its time, no faster than allowed, never somewhere else.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error as _;
use std::io::Read;
use std::time::{Duration, Instant};

use fleet::EventTime;
use reqwest::Url;
use reqwest::blocking::Client as Blocking;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::product::Method;
use super::scope::now;
use crate::error::Error;
use crate::gateways::Failure;
use crate::tls::TlsConfig;

/// Longer answers are not read: none of what is asked for is that long.
const LONGEST_ANSWER: u64 = 1024 * 1024;

pub struct Request<'a> {
    pub method: Method,
    /// Path and query, percent-encoded.
    pub path: &'a str,
    pub headers: &'a BTreeMap<String, String>,
    pub body: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case; several of one name joined by `, `.
    pub headers: BTreeMap<String, String>,
    pub cookies: BTreeMap<String, String>,
    /// JSON as it is, anything else as text.
    pub body: serde_json::Value,
    /// How long it asked to be left alone.
    pub retry_after: Option<Duration>,
}

/// A connection to one server.
pub struct Client {
    base: Url,
    http: Blocking,
    pace: Pace,
}

/// So many requests within so long, and no more.
struct Pace {
    most: usize,
    within: Duration,
    /// When the last ones were sent.
    sent: VecDeque<Instant>,
}

impl Pace {
    fn new(per_second: f64) -> Pace {
        // Below one a second: one, within longer.
        let within = (1.0 / per_second).max(1.0);
        Pace { most: (per_second as usize).max(1), within: Duration::from_secs_f64(within), sent: VecDeque::new() }
    }

    fn wait(&mut self, deadline: Instant) -> Result<(), Failure> {
        if self.sent.len() >= self.most
            && let Some(oldest) = self.sent.pop_front()
        {
            let wait = (oldest + self.within).saturating_duration_since(Instant::now());
            if wait >= left(deadline)? {
                self.sent.push_front(oldest);
                return Err(Failure::busy("as many requests as the product takes were sent already", Some(wait)));
            }
            std::thread::sleep(wait);
        }
        self.sent.push_back(Instant::now());
        Ok(())
    }
}

impl Client {
    /// `plain` allows `http://` to others than this machine.
    ///
    /// # Errors
    /// An address that is none, or would show secrets to whoever listens; TLS files that cannot be read.
    pub fn new(url: &str, tls: &TlsConfig, plain: bool, requests_per_second: f64) -> Result<Client, Error> {
        let wrong = |problem: &str| Error::Wrong(format!("url `{url}` {problem}"));
        let base = Url::parse(url).map_err(|error| wrong(&format!("is no address: {error}")))?;
        let host = base.host_str().unwrap_or_default();
        let here = host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback()) || host == "localhost";
        match base.scheme() {
            "https" => {}
            "http" if here || plain => {}
            "http" => return Err(wrong("would show secrets on the way; expected https, or `plain = true`")),
            _ => return Err(wrong("is not https")),
        }
        let more = base.query().is_some() || base.fragment().is_some() || !base.username().is_empty();
        if host.is_empty() || more || base.password().is_some() {
            return Err(wrong("has more or less than expected, such as `https://gateway.example:8443`"));
        }
        let rustls = (*tls.client()?).clone();
        let http = Blocking::builder()
            .tls_backend_preconfigured(rustls)
            .redirect(reqwest::redirect::Policy::none())
            // Where gateways are is said by the configuration, not by the surroundings of the process.
            .no_proxy()
            .user_agent("vedette")
            .build()
            .map_err(|error| wrong(&format!("cannot be connected to: {error}")))?;
        Ok(Client { base, http, pace: Pace::new(requests_per_second) })
    }

    /// Name or address of the server, without its port.
    pub fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// # Errors
    /// Whatever kept an answer from coming whole and in time. An answer of any status is none.
    pub fn send(&mut self, request: &Request<'_>, deadline: Instant) -> Result<Answer, Failure> {
        let url = self.url(request.path)?;
        self.pace.wait(deadline)?;
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut sent = self.http.request(method, url).headers(headers(request.headers)?).timeout(left(deadline)?);
        if let Some(body) = &request.body {
            sent = sent.body(body.clone());
        }
        let mut response = sent.send().map_err(|error| lost(&error))?;
        let status = response.status().as_u16();
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        let mut cookies = BTreeMap::new();
        for (name, value) in response.headers() {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            if name == "set-cookie" {
                let pair = value.split(';').next().and_then(|pair| pair.split_once('='));
                cookies.extend(pair.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())));
            }
            let joined = headers.entry(name.as_str().to_owned()).or_default();
            if !joined.is_empty() {
                joined.push_str(", ");
            }
            joined.push_str(&value);
        }
        let mut bytes = Vec::new();
        let read = response.by_ref().take(LONGEST_ANSWER + 1).read_to_end(&mut bytes);
        read.map_err(|error| Failure::unreachable(format!("the answer broke off: {error}")))?;
        if bytes.len() as u64 > LONGEST_ANSWER {
            return Err(Failure::refused(format!("the answer is longer than {LONGEST_ANSWER} bytes; it was not read")));
        }
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| serde_json::Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        let retry_after = headers.get("retry-after").and_then(|value| patience(value));
        Ok(Answer { status, headers, cookies, body, retry_after })
    }

    /// The same server always, whatever the path says.
    fn url(&self, path: &str) -> Result<Url, Failure> {
        let whole = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let url = Url::parse(&whole).map_err(|error| Failure::refused(format!("path `{path}`: {error}")))?;
        // What the library had to tidy up is not what was meant.
        let tidied = url.origin() != self.base.origin() || url.as_str() != whole;
        if tidied || !path.starts_with('/') || path.starts_with("//") {
            return Err(Failure::refused(format!("path `{path}` would lead elsewhere")));
        }
        Ok(url)
    }
}

/// # Errors
/// Nothing is left.
pub fn left(deadline: Instant) -> Result<Duration, Failure> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Failure::unreachable("the time for this call is over"));
    }
    Ok(left)
}

fn headers(named: &BTreeMap<String, String>) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in named {
        let key = HeaderName::from_bytes(name.as_bytes());
        let key = key.map_err(|_| Failure::refused(format!("`{name}` is no name of a header")))?;
        let value = HeaderValue::from_str(value);
        let value = value.map_err(|_| Failure::refused(format!("header `{name}` would hold what no header may")))?;
        headers.insert(key, value);
    }
    Ok(headers)
}

/// Why no answer came. The address is left out: the step is named, and a query may hold what is nobody's business.
fn lost(error: &reqwest::Error) -> Failure {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if error.is_builder() || error.is_request() && error.source().is_none() {
        return Failure::refused("it cannot be asked like this");
    }
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "no answer"
    };
    Failure::unreachable(format!("{what}: {cause}"))
}

/// `Retry-After`: seconds, or a date.
fn patience(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(value.trim()).ok()?;
    let from_now = EventTime(date.timestamp_micros()).minus(EventTime(0).plus_seconds(now()));
    u64::try_from(from_now).ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str) -> Result<Client, Error> {
        Client::new(url, &TlsConfig::default(), false, 10.0)
    }

    #[test]
    fn addresses_that_are_wrong() {
        for url in ["gateway", "ftp://gateway", "http://10.0.0.1", "https://u:p@gateway", "https://gateway/?a=1"] {
            assert!(client(url).is_err(), "{url}");
        }
        assert!(Client::new("http://10.0.0.1", &TlsConfig::default(), true, 10.0).is_ok());
        assert!(client("http://127.0.0.1:8081").is_ok());
    }

    #[test]
    fn nothing_leads_elsewhere() {
        let client = client("http://127.0.0.1:8081/base").unwrap();
        assert_eq!(client.url("/a/b%2Fc?d=e").unwrap().as_str(), "http://127.0.0.1:8081/base/a/b%2Fc?d=e");
        for path in ["/../b", "/a/%2e%2e/b", "@evil.example/", "/a\\b", "/a b"] {
            assert!(client.url(path).is_err(), "{path}");
        }
    }

    #[test]
    fn patience_is_seconds_or_a_date() {
        assert_eq!(patience("7"), Some(Duration::from_secs(7)));
        assert_eq!(patience("Wed, 21 Oct 2015 07:28:00 GMT"), None);
        assert!(patience("Wed, 21 Oct 2099 07:28:00 GMT").unwrap() > Duration::from_secs(1_000_000));
        assert_eq!(patience("soon"), None);
    }
}
