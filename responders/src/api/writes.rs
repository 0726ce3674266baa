//! Routes that change something, by the role they need, and the list of tokens.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::command::{Command, CommandOutcome, ExtendRequest, ModeRequest, NoteRequest, VerdictRequest};
use crate::api::desk::{Asked, Caller, Refusal};
use crate::api::extract::{Body, Id, Key, MaybeBody};
use crate::api::guard::{Shared, no_tokens_file};
use crate::api::views::TokenList;
use crate::rights::Moment;

type Outcome = Result<(StatusCode, Json<CommandOutcome>), Refusal>;
/// Where a command comes from.
type Sent = (State<Shared>, Extension<Caller>, Key);

pub(super) fn analyst() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(give_verdict))
}

pub(super) fn responder() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(approve))
        .routes(routes!(deny))
        .routes(routes!(release))
        .routes(routes!(extend))
        .routes(routes!(stop))
}

pub(super) fn administrator() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(set_mode)).routes(routes!(resume)).routes(routes!(list_tokens))
}

async fn order((State(gate), Extension(caller), Key(idempotency_key)): Sent, command: Command) -> Outcome {
    let asked = Asked { caller, idempotency_key };
    let outcome = gate.ask(move |desk| desk.command(&asked, &command)).await?;
    Ok((StatusCode::ACCEPTED, Json(outcome)))
}

/// Lets a proposed action go on.
#[utoipa::path(post, path = "/v1/actions/{id}/approve", tag = "actions", request_body = NoteRequest,
    params(("id" = String, Path, description = "action")),
    responses((status = 202, description = "written to the journal", body = CommandOutcome)))]
async fn approve(sent: Sent, Id(action_id): Id, MaybeBody(body): MaybeBody<NoteRequest>) -> Outcome {
    order(sent, Command::Approve { action_id, note: body.note }).await
}

/// Says no to a proposed action.
#[utoipa::path(post, path = "/v1/actions/{id}/deny", tag = "actions", request_body = NoteRequest,
    params(("id" = String, Path, description = "action")),
    responses((status = 202, description = "written to the journal", body = CommandOutcome)))]
async fn deny(sent: Sent, Id(action_id): Id, MaybeBody(body): MaybeBody<NoteRequest>) -> Outcome {
    order(sent, Command::Deny { action_id, note: body.note }).await
}

/// Takes back what is in force.
#[utoipa::path(post, path = "/v1/actions/{id}/release", tag = "actions", request_body = NoteRequest,
    params(("id" = String, Path, description = "action")),
    responses((status = 202, description = "written to the journal", body = CommandOutcome)))]
async fn release(sent: Sent, Id(action_id): Id, MaybeBody(body): MaybeBody<NoteRequest>) -> Outcome {
    order(sent, Command::Release { action_id, note: body.note }).await
}

/// Moves the end of what is in force.
#[utoipa::path(post, path = "/v1/actions/{id}/extend", tag = "actions", request_body = ExtendRequest,
    params(("id" = String, Path, description = "action")),
    responses((status = 202, description = "written to the journal", body = CommandOutcome)))]
async fn extend(sent: Sent, Id(action_id): Id, Body(body): Body<ExtendRequest>) -> Outcome {
    let now = (sent.0.clock)();
    let until = match (body.until, body.for_seconds) {
        (Some(until), _) => until,
        (None, seconds) => Moment(now.plus_seconds(i64::from(seconds.unwrap_or_default()))),
    };
    if until <= Moment(now) {
        return Err(Refusal::wrong(
            format!("`until` is `{until}`, which is past: it is `{}`", Moment(now)),
            "send a later one; `release` ends it now",
        ));
    }
    order(sent, Command::Extend { action_id, until, note: body.note }).await
}

/// Stops everything: nothing is applied until somebody resumes; what was applied is still taken back in time.
#[utoipa::path(put, path = "/v1/stop", tag = "mode", request_body = NoteRequest,
    responses((status = 202, description = "written to the journal", body = CommandOutcome)))]
async fn stop(sent: Sent, MaybeBody(body): MaybeBody<NoteRequest>) -> Outcome {
    order(sent, Command::Stop { note: body.note }).await
}

/// Lets things go on after a stop.
#[utoipa::path(delete, path = "/v1/stop", tag = "mode", request_body = NoteRequest,
    responses((status = 202, description = "written to the journal", body = CommandOutcome)))]
async fn resume(sent: Sent, MaybeBody(body): MaybeBody<NoteRequest>) -> Outcome {
    order(sent, Command::Resume { note: body.note }).await
}

/// Sets the mode of a gateway, of a playbook, or of everything.
#[utoipa::path(put, path = "/v1/mode", tag = "mode", request_body = ModeRequest,
    responses((status = 202, description = "written to the journal", body = CommandOutcome)))]
async fn set_mode(sent: Sent, Body(body): Body<ModeRequest>) -> Outcome {
    order(sent, Command::SetMode(body)).await
}

/// Says what a finding or an incident was; with `preview`, only what that would have changed.
#[utoipa::path(post, path = "/v1/verdicts", tag = "verdicts", request_body = VerdictRequest,
    responses(
        (status = 200, description = "a preview: nothing was kept", body = CommandOutcome),
        (status = 202, description = "written to the journal", body = CommandOutcome)))]
async fn give_verdict(sent: Sent, Body(body): Body<VerdictRequest>) -> Outcome {
    let now = Moment((sent.0.clock)());
    if let Some(expires) = body.expires.filter(|expires| *expires <= now) {
        return Err(Refusal::wrong(
            format!("`expires` is `{expires}`, which is past: it is `{now}`"),
            "send a later one",
        ));
    }
    let is_preview = body.preview;
    let (status, outcome) = order(sent, Command::Verdict(body)).await?;
    Ok((if is_preview { StatusCode::OK } else { status }, outcome))
}

/// Who has tokens. Their secrets are known to nobody.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens",
    responses((status = 200, description = "all tokens, those that ended included", body = TokenList)))]
async fn list_tokens(State(gate): State<Shared>) -> Result<Json<TokenList>, Refusal> {
    let Some(keyring) = &gate.keyring else { return Err(no_tokens_file()) };
    let tokens = keyring.list().map_err(|_| no_tokens_file())?;
    Ok(Json(TokenList { tokens }))
}
