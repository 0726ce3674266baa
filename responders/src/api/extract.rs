//! Parameters and bodies of calls, checked before a desk sees them, and refusals as they are sent.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::command::{ExtendRequest, ModeRequest, NoteRequest, VerdictRequest, VerdictScope};
use crate::api::desk::Refusal;
use crate::api::views::{ActionFilter, IncidentFilter, LARGEST_PAGE, StatsFilter, VerdictFilter};

pub(super) const SEE_DOCUMENT: &str = "see /openapi.json";
const KEY_HEADER: &str = "idempotency-key";
const NAME_CHARACTERS: usize = 256;
const NOTE_CHARACTERS: usize = 1000;
const KEY_CHARACTERS: usize = 64;

/// What every refusal looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    pub remedy: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).ok().filter(|status| status.as_u16() >= 400);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(Problem { error: self.message, remedy: self.remedy })).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// What can be wrong with a request besides its form.
pub(super) trait Checked {
    fn check(&self) -> Result<(), Refusal>;
}

/// Parameters of the query.
pub(super) struct Filter<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Checked> FromRequestParts<S> for Filter<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Filter<T>, Refusal> {
        let Query(filter) = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Refusal::wrong(rejection.body_text(), SEE_DOCUMENT))?;
        filter.check()?;
        Ok(Filter(filter))
    }
}

/// The body.
pub(super) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Checked> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Refusal> {
        let Json(body) = Json::<T>::from_request(request, state).await.map_err(|rejection| not_json(&rejection))?;
        body.check()?;
        Ok(Body(body))
    }
}

/// The body, or none at all.
pub(super) struct MaybeBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Checked + Default> FromRequest<S> for MaybeBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<MaybeBody<T>, Refusal> {
        let is_empty = axum::body::HttpBody::is_end_stream(request.body());
        if is_empty && !request.headers().contains_key(CONTENT_TYPE) {
            return Ok(MaybeBody(T::default()));
        }
        Body::from_request(request, state).await.map(|Body(body)| MaybeBody(body))
    }
}

fn not_json(rejection: &JsonRejection) -> Refusal {
    let status = rejection.status().as_u16();
    // Well-formed JSON of another shape is as wrong as any other request.
    let status = if status == 422 { 400 } else { status };
    Refusal::new(status, rejection.body_text(), SEE_DOCUMENT)
}

/// `{id}` of the path.
pub(super) struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Id, Refusal> {
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Refusal::wrong(rejection.body_text(), SEE_DOCUMENT))?;
        check_name("the id of the path", &id)?;
        Ok(Id(id))
    }
}

/// `Idempotency-Key`, where it is given.
pub(super) struct Key(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Key, Refusal> {
        let Some(header) = parts.headers.get(KEY_HEADER) else { return Ok(Key(None)) };
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let bytes = header.as_bytes();
        if bytes.is_empty() || bytes.len() > KEY_CHARACTERS || !bytes.iter().all(fits) {
            return Err(Refusal::wrong(
                format!("`Idempotency-Key` is not 1 to {KEY_CHARACTERS} letters, digits and `.`, `_`, `-`"),
                "send a UUID",
            ));
        }
        Ok(Key(header.to_str().ok().map(str::to_owned)))
    }
}

pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= NAME_CHARACTERS && !text.chars().any(char::is_control)
}

fn check_name(what: &str, text: &str) -> Result<(), Refusal> {
    if is_name(text) {
        return Ok(());
    }
    let shown: String = text.chars().take(40).flat_map(char::escape_default).collect();
    Err(Refusal::wrong(
        format!("{what} is `{shown}`, expected 1 to {NAME_CHARACTERS} characters and no control characters"),
        SEE_DOCUMENT,
    ))
}

fn check_names<const N: usize>(names: [(&str, &Option<String>); N]) -> Result<(), Refusal> {
    names
        .into_iter()
        .filter_map(|(what, name)| Some((what, name.as_ref()?)))
        .try_for_each(|(what, name)| check_name(what, name))
}

/// Notes are shown in terminals.
fn check_note(note: &str) -> Result<(), Refusal> {
    let is_odd = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    let length = note.chars().count();
    if length <= NOTE_CHARACTERS && !note.chars().any(is_odd) {
        return Ok(());
    }
    Err(Refusal::wrong(
        format!("`note` has `{length}` characters, expected {NOTE_CHARACTERS} at most, and no control characters"),
        "shorten it; details belong in the ticket",
    ))
}

fn check_limit(limit: Option<u32>) -> Result<(), Refusal> {
    match limit {
        Some(limit) if !(1..=LARGEST_PAGE).contains(&limit) => Err(Refusal::wrong(
            format!("`limit` is `{limit}`, expected 1 to {LARGEST_PAGE}"),
            "ask for the next page with `cursor`",
        )),
        _ => Ok(()),
    }
}

impl Checked for ActionFilter {
    fn check(&self) -> Result<(), Refusal> {
        check_limit(self.limit)?;
        check_names([
            ("`device`", &self.device),
            ("`incident`", &self.incident),
            ("`site`", &self.site),
            ("`cursor`", &self.cursor),
        ])
    }
}

impl Checked for IncidentFilter {
    fn check(&self) -> Result<(), Refusal> {
        check_limit(self.limit)?;
        check_names([("`device`", &self.device), ("`site`", &self.site), ("`cursor`", &self.cursor)])
    }
}

impl Checked for VerdictFilter {
    fn check(&self) -> Result<(), Refusal> {
        check_limit(self.limit)?;
        check_names([("`device`", &self.device), ("`incident`", &self.incident), ("`cursor`", &self.cursor)])
    }
}

impl Checked for StatsFilter {
    fn check(&self) -> Result<(), Refusal> {
        match (self.since, self.until) {
            (Some(since), Some(until)) if since >= until => Err(Refusal::wrong(
                format!("`since` is `{since}`, which is not before `until`, `{until}`"),
                "swap them",
            )),
            _ => Ok(()),
        }
    }
}

impl Checked for NoteRequest {
    fn check(&self) -> Result<(), Refusal> {
        check_note(&self.note)
    }
}

impl Checked for ExtendRequest {
    fn check(&self) -> Result<(), Refusal> {
        check_note(&self.note)?;
        if self.until.is_some() == self.for_seconds.is_some() || self.for_seconds == Some(0) {
            return Err(Refusal::wrong(
                "a new end is expected: exactly one of `until` and `for_seconds`, and that not `0`",
                "send one of them; `release` ends it now",
            ));
        }
        Ok(())
    }
}

impl Checked for ModeRequest {
    fn check(&self) -> Result<(), Refusal> {
        check_note(&self.note)?;
        check_names([("`gateway`", &self.gateway), ("`playbook`", &self.playbook)])?;
        if self.gateway.is_some() && self.playbook.is_some() {
            return Err(Refusal::wrong(
                "`gateway` and `playbook` were both given, expected one of them, or none for everything",
                "send two requests",
            ));
        }
        Ok(())
    }
}

impl Checked for VerdictRequest {
    fn check(&self) -> Result<(), Refusal> {
        check_note(&self.note)?;
        check_names([("`incident`", &self.incident), ("`finding`", &self.finding)])?;
        if self.incident.is_some() == self.finding.is_some() {
            return Err(Refusal::wrong("expected exactly one of `incident` and `finding`", "send one of them"));
        }
        if self.scope != VerdictScope::Incident && self.expires.is_none() {
            return Err(Refusal::wrong(
                "a verdict that reaches beyond its incident needs `expires`",
                "say until when; it can be given again then",
            ));
        }
        Ok(())
    }
}
