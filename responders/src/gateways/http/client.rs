//! One request and its answer: within its time, no faster than allowed, never somewhere else.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::product::Method;
use crate::error::Error;
use crate::gateways::{Deadline, Failure};
use crate::rest::{self, Rest};
use crate::tls::TlsConfig;

pub struct Request<'a> {
    pub method: Method,
    /// Path and query, percent-encoded.
    pub path: &'a str,
    pub headers: &'a BTreeMap<String, String>,
    pub body: Option<String>,
}

/// An answer as templates look at it.
pub struct Answer {
    /// Names in lower case; several of one name joined by `, `.
    pub headers: BTreeMap<String, String>,
    pub cookies: BTreeMap<String, String>,
    /// JSON as it is, anything else as text.
    pub body: serde_json::Value,
    /// As it came.
    pub raw: rest::Answer,
}

/// A connection to one server.
pub struct Client {
    base: Url,
    rest: Rest,
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

    fn wait(&mut self, deadline: Deadline) -> Result<(), Failure> {
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
        let base = Url::parse(url).map_err(|error| Error::Wrong(format!("url is no address: {error}")))?;
        let host = base.host_str().unwrap_or_default();
        // Without what may be a password.
        let wrong = |problem: &str| Error::Wrong(format!("url `{}://{host}` {problem}", base.scheme()));
        match base.scheme() {
            _ if rest::guarded(&base, plain) => {}
            "http" => return Err(wrong("would show secrets on the way; expected https, or `plain = true`")),
            _ => return Err(wrong("is not https")),
        }
        let more = base.query().is_some() || base.fragment().is_some() || !base.username().is_empty();
        if host.is_empty() || more || base.password().is_some() {
            return Err(wrong("has more or less than expected, such as `https://gateway.example:8443`"));
        }
        Ok(Client { base, rest: Rest::new(tls)?, pace: Pace::new(requests_per_second) })
    }

    /// Name or address of the server, without its port.
    pub fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// # Errors
    /// Whatever kept an answer from coming whole and in time. An answer of any status is none.
    pub fn send(&mut self, request: &Request<'_>, deadline: Deadline) -> Result<Answer, Failure> {
        let url = self.url(request.path)?;
        self.pace.wait(deadline)?;
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut sent = self.rest.client.request(method, url).headers(headers(request.headers)?);
        if let Some(body) = &request.body {
            sent = sent.body(body.clone());
        }
        let answer = rest::ask(sent, left(deadline)?)?;
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        let mut cookies = BTreeMap::new();
        for (name, value) in &answer.headers {
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
        let body = serde_json::from_slice(&answer.body)
            .unwrap_or_else(|_| serde_json::Value::String(String::from_utf8_lossy(&answer.body).into_owned()));
        Ok(Answer { headers, cookies, body, raw: answer })
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
pub fn left(deadline: Deadline) -> Result<Duration, Failure> {
    let left = deadline.left();
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
}
