//! Each call's way: who it is, how large, whether the role is enough, how long it may take, and the entry in the audit.
//!
//! A call is handled by a task of its own: whoever hangs up neither stops what was begun nor keeps it out of the audit.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use fleet::EventTime;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use crate::api::config::ApiConfig;
use crate::api::desk::{Call, Caller, Desk, Refusal};
use crate::api::extract;
use crate::rights::failures::{Failed, Failures};
use crate::rights::{Denied, Keyring, Role, TokenText, TokenView};

pub type Clock = Arc<dyn Fn() -> EventTime + Send + Sync>;
pub(super) type Shared = Arc<Gate>;

pub(super) struct Gate {
    pub desk: Arc<dyn Desk>,
    /// None: on loopback, where whoever is there may look.
    pub keyring: Option<Keyring>,
    pub clock: Clock,
    pub document: String,
    failures: Mutex<Failures>,
    /// Calls that are no entries, since the last entry: refused for too many failures, or not to be written down.
    unrecorded: AtomicU64,
    places: Arc<Semaphore>,
    /// Of the audit alone: where looking takes all places, calls are written down nevertheless.
    audit_places: Arc<Semaphore>,
    answer_within: Duration,
    read_within: Duration,
    tls: bool,
}

/// Somebody who was not let in.
struct Stranger {
    refusal: Refusal,
    claimed: Option<String>,
    is_recorded: bool,
}

impl Gate {
    pub fn new(
        config: &ApiConfig,
        desk: Arc<dyn Desk>,
        keyring: Option<Keyring>,
        clock: Clock,
        document: String,
    ) -> Gate {
        Gate {
            desk,
            keyring,
            clock,
            document,
            failures: Mutex::new(Failures::new(config.failures_per_minute, config.failures_per_minute_overall)),
            unrecorded: AtomicU64::new(0),
            places: Arc::new(Semaphore::new(config.max_calls)),
            audit_places: Arc::new(Semaphore::new(config.max_calls)),
            answer_within: Duration::from_secs(config.answer_seconds),
            read_within: Duration::from_secs(config.read_seconds),
            tls: config.tls.is_some(),
        }
    }

    /// Asks the desk, on a thread that may block, and waits for so long.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Desk) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.ask_in(&self.places, question).await
    }

    async fn ask_in<T: Send + 'static>(
        &self,
        places: &Arc<Semaphore>,
        question: impl FnOnce(&dyn Desk) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let busy = || Refusal {
            retry_after: Some(5),
            ..Refusal::unavailable("too many calls wait already", "come back later")
        };
        let deadline = tokio::time::Instant::now() + self.answer_within;
        let place = timeout_at(deadline, Arc::clone(places).acquire_owned());
        let Ok(Ok(place)) = place.await else { return Err(busy()) };
        let desk = Arc::clone(&self.desk);
        // The place is given back when the desk is done, not when nobody waits any longer: threads are bounded by it.
        let answer = tokio::task::spawn_blocking(move || {
            let _place = place;
            question(&*desk)
        });
        match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Refusal::new(500, "the question could not be answered", "the log says why")),
            Err(_) => Err(Refusal::new(
                504,
                format!("no answer within `{}` s", self.answer_within.as_secs()),
                "what was asked for may still be carried out: look before asking again, or use the same `Idempotency-Key`",
            )),
        }
    }

    fn admit(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Caller, Stranger> {
        const SEND: &str = "send `Authorization: Bearer` with a token made by `vedette tokens create`";
        let unauthorised = |message: String, remedy: &str| Refusal::new(401, message, remedy);
        let sent = headers.get(AUTHORIZATION);
        let Some(keyring) = &self.keyring else {
            return match sent {
                None => from_this_machine(headers).map(|()| Caller::anonymous(peer)).map_err(|refusal| Stranger {
                    refusal,
                    claimed: None,
                    is_recorded: true,
                }),
                Some(_) => {
                    let refusal = unauthorised("there are no tokens here".to_owned(), "set `tokens` in [api]");
                    Err(self.stranger(peer, refusal, None))
                }
            };
        };
        let Some(sent) = sent else {
            return Err(self.stranger(peer, unauthorised("no token was sent".to_owned(), SEND), None));
        };
        let unknown = || unauthorised("the token is not known".to_owned(), SEND);
        let Some(text) = sent.to_str().ok().and_then(bearer).and_then(TokenText::parse) else {
            return Err(self.stranger(peer, unknown(), None));
        };
        let ended = |token: &TokenView, how: String| {
            unauthorised(format!("the token `{}` {how}", token.name), "an administrator makes a new one")
        };
        let refusal = match keyring.admit(&text, (self.clock)()) {
            Ok(token) => return Ok(Caller::new(token, peer)),
            Err(Denied::Unknown) => unknown(),
            Err(Denied::Expired { token }) => ended(&token, format!("expired at {}", token.expires)),
            Err(Denied::Revoked { token }) => ended(&token, "was revoked".to_owned()),
            Err(Denied::NoFile) => no_tokens_file(),
        };
        let claimed = Some(text.id().to_owned()).filter(|id| keyring.has(id));
        Err(self.stranger(peer, refusal, claimed))
    }

    /// Counts one failure more.
    fn stranger(&self, peer: IpAddr, refusal: Refusal, claimed: Option<String>) -> Stranger {
        let failed = self.failures.lock().unwrap_or_else(PoisonError::into_inner).failed(peer, Instant::now());
        match failed {
            Failed::Counted => Stranger { refusal, claimed, is_recorded: true },
            Failed::TooMany { wait, first } => {
                let seconds = wait.as_secs() + 1;
                let refusal = Refusal {
                    retry_after: Some(seconds),
                    ..Refusal::new(
                        429,
                        "too many calls without a valid token",
                        format!("come back with a valid token, or in {seconds} s"),
                    )
                };
                Stranger { refusal, claimed, is_recorded: first }
            }
        }
    }

    /// Reads the body as a whole, so that what comes after waits for nobody; then answers.
    async fn serve(&self, caller: Caller, request: Request, next: Next) -> Response {
        let (mut parts, body) = request.into_parts();
        let whole = Bytes::from_request(Request::from_parts(parts.clone(), body), &());
        let bytes = match tokio::time::timeout(self.read_within, whole).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(rejection)) => {
                let refusal = Refusal::new(rejection.status().as_u16(), rejection.body_text(), extract::SEE_DOCUMENT);
                return refusal.into_response();
            }
            Err(_) => {
                let message = format!("the body did not come within `{}` s", self.read_within.as_secs());
                return Refusal::new(408, message, "send it at once").into_response();
            }
        };
        parts.extensions.insert(caller);
        next.run(Request::from_parts(parts, Body::from(bytes))).await
    }

    /// The answer that is sent: reading is not answered when it could not be written down. What was commanded is in the
    /// journal already, by an entry of its own.
    async fn record(&self, mut call: Call, response: Response) -> Response {
        call.status = response.status().as_u16();
        call.unrecorded = self.unrecorded.swap(0, Ordering::Relaxed);
        let (unrecorded, is_reading) = (call.unrecorded, call.method == "GET" || call.method == "HEAD");
        let Err(refusal) = self.ask_in(&self.audit_places, move |desk| desk.record_call(&call)).await else {
            return response;
        };
        self.unrecorded.fetch_add(unrecorded + 1, Ordering::Relaxed);
        tracing::error!(error = %refusal, "a call of the API could not be written to the audit");
        if is_reading && response.status().is_success() {
            let why = "the call could not be written to the audit, so it is not answered";
            return Refusal::unavailable(why, "the log says why").into_response();
        }
        response
    }

    fn finish(&self, mut response: Response) -> Response {
        let fixed = [
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
            (REFERRER_POLICY, "no-referrer"),
        ];
        for (name, value) in fixed {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        if self.tls {
            let year = HeaderValue::from_static("max-age=31536000");
            response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, year);
        }
        response
    }
}

pub(super) fn no_tokens_file() -> Refusal {
    Refusal::unavailable("the tokens file cannot be used now", "whoever runs this finds the reason in the log")
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Where nobody has to show who they are, a browser's page must not ask by a name of its own that points to this machine.
fn from_this_machine(headers: &HeaderMap) -> Result<(), Refusal> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback()) {
        return Ok(());
    }
    Err(Refusal::forbidden(
        "without tokens only this machine is answered, by `localhost` or its loopback address",
        "set `tokens` in [api], or ask for `127.0.0.1`",
    ))
}

/// Around every call, of routes that exist and others.
pub(super) async fn guard(State(gate): State<Shared>, request: Request, next: Next) -> Response {
    let handled = tokio::spawn(handle(Arc::clone(&gate), request, next)).await;
    gate.finish(
        handled
            .unwrap_or_else(|_| Refusal::new(500, "the call could not be handled", "the log says why").into_response()),
    )
}

async fn handle(gate: Shared, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.0.ip().to_canonical());
    let route = request.extensions().get::<MatchedPath>();
    let mut call = Call {
        caller: None,
        claimed: None,
        peer,
        method: method(request.method()).to_owned(),
        // Not the path itself, which may be anything.
        route: route.map_or("-", MatchedPath::as_str).to_owned(),
        subject: None,
        status: 0,
        unrecorded: 0,
    };
    let response = match gate.admit(request.headers(), peer) {
        Ok(caller) => {
            call.caller = Some(caller.clone());
            let (request, subject) = subject(request).await;
            call.subject = subject;
            gate.serve(caller, request, next).await
        }
        Err(stranger) if !stranger.is_recorded => {
            gate.unrecorded.fetch_add(1, Ordering::Relaxed);
            return stranger.refusal.into_response();
        }
        Err(stranger) => {
            call.claimed = stranger.claimed;
            stranger.refusal.into_response()
        }
    };
    gate.record(call, response).await
}

/// `{id}`, where it can be one; a token that somebody put there by mistake stays out of the audit.
async fn subject(request: Request) -> (Request, Option<String>) {
    let (mut parts, body) = request.into_parts();
    let params = RawPathParams::from_request_parts(&mut parts, &()).await.ok();
    let subject = params.as_ref().and_then(|params| params.iter().find(|(name, _)| *name == "id"));
    let subject = subject.map(|(_, value)| value.to_owned()).filter(|id| extract::is_name(id) && !id.contains("vdt_"));
    (Request::from_parts(parts, body), subject)
}

/// A method may be any word.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// Around the routes of one role.
pub(super) async fn require(
    State(needs): State<Role>,
    Extension(caller): Extension<Caller>,
    route: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    if caller.role >= needs {
        return next.run(request).await;
    }
    let what = format!("`{} {}` needs {needs}", method(request.method()), route.as_str());
    let refusal = match &caller.token_id {
        Some(_) => Refusal::forbidden(
            format!("the token `{}` has role {}; {what}", caller.name, caller.role),
            "ask somebody with that role, or an administrator for another token",
        ),
        None => Refusal::forbidden(
            format!("nobody can command here without a token; {what}"),
            "make one with `vedette tokens create` and set `tokens` in [api]",
        ),
    };
    refusal.into_response()
}
