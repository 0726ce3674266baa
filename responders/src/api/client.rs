//! The API as the commands use it: typed, blocking, with errors a person can act on.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fleet::Mode;
use reqwest::blocking::{RequestBuilder, Response};
use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::command::{CommandOutcome, ExtendRequest, ModeRequest, NoteRequest, VerdictRequest};
use crate::api::extract::Problem;
use crate::api::views::{
    ActionDetail, ActionFilter, Actions, Health, IncidentDetail, IncidentFilter, IncidentStats, Incidents, ModeView,
    Playbooks, StatsFilter, TokenList, VerdictFilter, Verdicts,
};
use crate::bytes::random;
use crate::error::Error;
use crate::rest::{Rest, guarded};
use crate::rights::TokenText;
use crate::tls::TlsConfig;
use fleet::Secret;

/// Where the commands look for a token.
pub const TOKEN_VARIABLE: &str = "VEDETTE_TOKEN";
pub const DEFAULT_URL: &str = "http://127.0.0.1:9465";

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const MOST_BYTES: u64 = 16 * 1024 * 1024;
const TRIES: u32 = 2;
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Such as `https://vedette.example.org:9465`.
    pub url: String,
    pub token: Option<Secret>,
    /// PEM file of the authority that is believed, and no other; without it the system's.
    pub ca: Option<PathBuf>,
}

pub struct Client {
    http: reqwest::blocking::Client,
    url: Url,
    authorization: Option<HeaderValue>,
}

/// Why a call did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {remedy}")]
pub struct Failed {
    /// None: no answer came.
    pub status: Option<u16>,
    pub message: String,
    pub remedy: String,
}

impl Failed {
    /// Whether the same may work later, without anybody doing anything.
    pub fn retry(&self) -> bool {
        self.status.is_none_or(|status| matches!(status, 408 | 429 | 503 | 504))
    }
}

impl Client {
    /// # Errors
    /// A URL that cannot be, or would send the token in clear to another machine; a token or a certificate that cannot be
    /// read.
    pub fn new(config: &ClientConfig) -> Result<Client, Error> {
        let url = parse(&config.url)?;
        let authorization = config.token.as_ref().map(authorization).transpose()?;
        if authorization.is_some() && !guarded(&url, false) {
            return Err(Error::Wrong(format!(
                "the token would go to `{url}` in clear; expected `https`, or this machine"
            )));
        }
        let tls = TlsConfig { ca: config.ca.clone(), ..TlsConfig::default() };
        let builder = reqwest::blocking::Client::builder().no_proxy();
        let rest = Rest::built(builder.connect_timeout(CONNECT_WITHIN).timeout(ANSWER_WITHIN), &tls)?;
        Ok(Client { http: rest.client, url, authorization })
    }

    pub fn actions(&self, filter: &ActionFilter) -> Result<Actions, Failed> {
        self.get(&["v1", "actions"], filter)
    }

    pub fn action(&self, action_id: &str) -> Result<ActionDetail, Failed> {
        self.get(&["v1", "actions", action_id], &())
    }

    pub fn incidents(&self, filter: &IncidentFilter) -> Result<Incidents, Failed> {
        self.get(&["v1", "incidents"], filter)
    }

    pub fn incident(&self, incident_id: &str) -> Result<IncidentDetail, Failed> {
        self.get(&["v1", "incidents", incident_id], &())
    }

    pub fn incident_stats(&self, filter: &StatsFilter) -> Result<IncidentStats, Failed> {
        self.get(&["v1", "incidents", "stats"], filter)
    }

    pub fn verdicts(&self, filter: &VerdictFilter) -> Result<Verdicts, Failed> {
        self.get(&["v1", "verdicts"], filter)
    }

    pub fn playbooks(&self) -> Result<Playbooks, Failed> {
        self.get(&["v1", "playbooks"], &())
    }

    pub fn mode(&self) -> Result<ModeView, Failed> {
        self.get(&["v1", "mode"], &())
    }

    pub fn health(&self) -> Result<Health, Failed> {
        self.get(&["v1", "health"], &())
    }

    pub fn tokens(&self) -> Result<TokenList, Failed> {
        self.get(&["v1", "tokens"], &())
    }

    pub fn approve(&self, action_id: &str, note: &str) -> Result<CommandOutcome, Failed> {
        self.command(&Method::POST, &["v1", "actions", action_id, "approve"], &noted(note))
    }

    pub fn deny(&self, action_id: &str, note: &str) -> Result<CommandOutcome, Failed> {
        self.command(&Method::POST, &["v1", "actions", action_id, "deny"], &noted(note))
    }

    pub fn release(&self, action_id: &str, note: &str) -> Result<CommandOutcome, Failed> {
        self.command(&Method::POST, &["v1", "actions", action_id, "release"], &noted(note))
    }

    pub fn extend(&self, action_id: &str, request: &ExtendRequest) -> Result<CommandOutcome, Failed> {
        self.command(&Method::POST, &["v1", "actions", action_id, "extend"], request)
    }

    pub fn set_mode(
        &self,
        mode: Mode,
        gateway: Option<&str>,
        playbook: Option<&str>,
        note: &str,
    ) -> Result<CommandOutcome, Failed> {
        let owned = |name: Option<&str>| name.map(str::to_owned);
        let request = ModeRequest { mode, gateway: owned(gateway), playbook: owned(playbook), note: note.to_owned() };
        self.command(&Method::PUT, &["v1", "mode"], &request)
    }

    pub fn stop(&self, note: &str) -> Result<CommandOutcome, Failed> {
        self.command(&Method::PUT, &["v1", "stop"], &noted(note))
    }

    pub fn resume(&self, note: &str) -> Result<CommandOutcome, Failed> {
        self.command(&Method::DELETE, &["v1", "stop"], &noted(note))
    }

    pub fn give_verdict(&self, request: &VerdictRequest) -> Result<CommandOutcome, Failed> {
        self.command(&Method::POST, &["v1", "verdicts"], request)
    }

    fn get<T: DeserializeOwned>(&self, path: &[&str], filter: &impl Serialize) -> Result<T, Failed> {
        let mut url = self.at(path)?;
        if let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(filter) {
            for (name, value) in fields {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                url.query_pairs_mut().append_pair(&name, &value);
            }
        }
        let answer = self.send(self.http.get(url)).map_err(|error| self.unanswered(&error))?;
        understood(answer)
    }

    /// Sent again where no answer came, or one that does not know yet, under the same key: it is carried out once.
    fn command(&self, method: &Method, path: &[&str], body: &impl Serialize) -> Result<CommandOutcome, Failed> {
        let url = self.at(path)?;
        let key = key()?;
        let mut tries = 1;
        loop {
            let request = self.http.request(method.clone(), url.clone()).header("Idempotency-Key", &key).json(body);
            match self.send(request) {
                Ok(answer) if tries < TRIES && answer.status() == StatusCode::SERVICE_UNAVAILABLE => {
                    let asked = answer.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
                    std::thread::sleep(asked.map_or(Duration::ZERO, Duration::from_secs).min(LONGEST_PAUSE));
                    tries += 1;
                }
                Ok(answer) => return understood(answer),
                Err(error) if tries == TRIES || error.is_connect() || error.is_builder() => {
                    return Err(self.unanswered(&error));
                }
                Err(_) => tries += 1,
            }
        }
    }

    fn send(&self, request: RequestBuilder) -> Result<Response, reqwest::Error> {
        match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization.clone()),
            None => request,
        }
        .send()
    }

    fn at(&self, path: &[&str]) -> Result<Url, Failed> {
        let mut url = self.url.clone();
        // `.` and `..` would be taken for steps.
        if let Some(wrong) = path.iter().find(|part| part.is_empty() || matches!(**part, "." | "..")) {
            let message = format!("`{wrong}` cannot be an id");
            return Err(Failed { status: None, message, remedy: "`vedette actions list` shows them".to_owned() });
        }
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        Ok(url)
    }

    fn unanswered(&self, error: &reqwest::Error) -> Failed {
        let remedy = if error.is_timeout() {
            "it may still be carried out: look before asking again"
        } else {
            "is `vedette run` there, and has its configuration a section `[api]` (docs/api.md)? Where it has, `listen` there is \
             what `--url` names, with `https` where `tls` is set"
        };
        let mut message = format!("`{}` does not answer", self.url);
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
        while let Some(inner) = cause {
            message = format!("{message}: {inner}");
            cause = inner.source();
        }
        Failed { status: None, message, remedy: remedy.to_owned() }
    }
}

fn parse(text: &str) -> Result<Url, Error> {
    let wrong =
        |problem: &str| Error::Wrong(format!("the URL `{text}` {problem}, expected one such as `{DEFAULT_URL}`"));
    let url = Url::parse(text).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("is neither `http` nor `https`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Not with its text: there is a password in it.
        return Err(Error::Wrong("the URL holds a name or a password; the API takes tokens".to_owned()));
    }
    Ok(url)
}

fn authorization(token: &Secret) -> Result<HeaderValue, Error> {
    let text = TokenText::parse(token.read()?.trim());
    let text = text.ok_or_else(|| {
        Error::Wrong(format!("{token:?} holds no token, expected `vdt_...` as `vedette tokens create` shows it"))
    })?;
    let value = HeaderValue::try_from(format!("Bearer {}", text.reveal()));
    let mut value = value.map_err(|_| Error::Wrong(format!("{token:?} holds what cannot be sent")))?;
    value.set_sensitive(true);
    Ok(value)
}

fn key() -> Result<String, Failed> {
    let bytes = random::<16>().map_err(|_| Failed {
        status: None,
        message: "the system gives no random bytes".to_owned(),
        remedy: "try again".to_owned(),
    })?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn noted(note: &str) -> NoteRequest {
    NoteRequest { note: note.to_owned() }
}

fn understood<T: DeserializeOwned>(answer: Response) -> Result<T, Failed> {
    let status = answer.status();
    let strange = |what: String| Failed {
        status: Some(status.as_u16()),
        message: format!("the answer (status {}) cannot be understood: {what}", status.as_u16()),
        remedy: "is it Vedette's API, of the same version?".to_owned(),
    };
    let mut body = Vec::new();
    answer.take(MOST_BYTES).read_to_end(&mut body).map_err(|error| strange(error.to_string()))?;
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|error| strange(error.to_string()));
    }
    let problem: Problem = serde_json::from_slice(&body).map_err(|error| strange(error.to_string()))?;
    Err(Failed { status: Some(status.as_u16()), message: problem.error, remedy: problem.remedy })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str, token: Option<&str>) -> Result<Client, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, token.unwrap_or_default()).unwrap();
        let token = token.map(|_| Secret::File(path));
        Client::new(&ClientConfig { url: url.to_owned(), token, ca: None }).map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_does_not_leave_the_machine_in_clear() {
        let token = format!("vdt_00000000_{}", "A".repeat(43));
        for url in ["http://192.0.2.1:9465", "http://vedette.example.org", "http://localhost.example.org"] {
            let error = client(url, Some(&token)).err().unwrap();
            assert!(error.contains("in clear") && !error.contains("AAAA"), "{error}");
        }
        for url in ["http://127.0.0.1:9465", "http://[::1]:1", "http://localhost:1/below", "https://192.0.2.1"] {
            assert_eq!(client(url, Some(&token)).err(), None, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_or_no_token() {
        assert!(client("ftp://192.0.2.1", None).err().unwrap().contains("neither `http` nor `https`"));
        assert!(client("vedette", None).err().unwrap().contains("`vedette`"));
        let error = client("https://me:s3cr3t@192.0.2.1", None).err().unwrap();
        assert!(!error.contains("s3cr3t"), "{error}");
        let error = client("https://192.0.2.1", Some("hunter2")).err().unwrap();
        assert!(error.contains("holds no token") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn ids_are_one_step_of_the_path() {
        let client = client("http://localhost:1/below/", None).unwrap();
        assert_eq!(client.at(&["v1", "a/b ?#%"]).unwrap().as_str(), "http://localhost:1/below/v1/a%2Fb%20%3F%23%25");
        for odd in ["", ".", ".."] {
            assert!(client.at(&["v1", odd]).is_err());
        }
    }
}
