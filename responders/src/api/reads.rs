//! Routes for whoever may look.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::desk::Refusal;
use crate::api::extract::{Filter, Id};
use crate::api::guard::Shared;
use crate::api::views::{
    ActionDetail, ActionFilter, Actions, Health, IncidentDetail, IncidentFilter, IncidentStats, Incidents, ModeView,
    Playbooks, StatsFilter, VerdictFilter, Verdicts,
};

pub(super) fn viewer() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_actions))
        .routes(routes!(show_action))
        .routes(routes!(list_incidents))
        .routes(routes!(incident_stats))
        .routes(routes!(show_incident))
        .routes(routes!(list_verdicts))
        .routes(routes!(list_playbooks))
        .routes(routes!(show_mode))
        .routes(routes!(show_health))
        .routes(routes!(show_document))
}

/// Actions, latest first.
#[utoipa::path(get, path = "/v1/actions", tag = "actions", params(ActionFilter),
    responses((status = 200, description = "a page of actions", body = Actions)))]
async fn list_actions(
    State(gate): State<Shared>,
    Filter(filter): Filter<ActionFilter>,
) -> Result<Json<Actions>, Refusal> {
    gate.ask(move |desk| desk.actions(&filter)).await.map(Json)
}

/// One action with its history.
#[utoipa::path(get, path = "/v1/actions/{id}", tag = "actions", params(("id" = String, Path, description = "action")),
    responses((status = 200, description = "the action", body = ActionDetail)))]
async fn show_action(State(gate): State<Shared>, Id(id): Id) -> Result<Json<ActionDetail>, Refusal> {
    gate.ask(move |desk| desk.action(&id)).await.map(Json)
}

/// Incidents, latest first.
#[utoipa::path(get, path = "/v1/incidents", tag = "incidents", params(IncidentFilter),
    responses((status = 200, description = "a page of incidents", body = Incidents)))]
async fn list_incidents(
    State(gate): State<Shared>,
    Filter(filter): Filter<IncidentFilter>,
) -> Result<Json<Incidents>, Refusal> {
    gate.ask(move |desk| desk.incidents(&filter)).await.map(Json)
}

/// How long incidents took to be found and answered.
#[utoipa::path(get, path = "/v1/incidents/stats", tag = "incidents", params(StatsFilter),
    responses((status = 200, description = "counts, and seconds", body = IncidentStats)))]
async fn incident_stats(
    State(gate): State<Shared>,
    Filter(filter): Filter<StatsFilter>,
) -> Result<Json<IncidentStats>, Refusal> {
    gate.ask(move |desk| desk.incident_stats(&filter)).await.map(Json)
}

/// One incident with what was found and done.
#[utoipa::path(get, path = "/v1/incidents/{id}", tag = "incidents", params(("id" = String, Path, description = "incident")),
    responses((status = 200, description = "the incident", body = IncidentDetail)))]
async fn show_incident(State(gate): State<Shared>, Id(id): Id) -> Result<Json<IncidentDetail>, Refusal> {
    gate.ask(move |desk| desk.incident(&id)).await.map(Json)
}

/// Verdicts, latest first.
#[utoipa::path(get, path = "/v1/verdicts", tag = "verdicts", params(VerdictFilter),
    responses((status = 200, description = "a page of verdicts", body = Verdicts)))]
async fn list_verdicts(
    State(gate): State<Shared>,
    Filter(filter): Filter<VerdictFilter>,
) -> Result<Json<Verdicts>, Refusal> {
    gate.ask(move |desk| desk.verdicts(&filter)).await.map(Json)
}

/// Playbooks that are loaded.
#[utoipa::path(get, path = "/v1/playbooks", tag = "playbooks",
    responses((status = 200, description = "the playbooks", body = Playbooks)))]
async fn list_playbooks(State(gate): State<Shared>) -> Result<Json<Playbooks>, Refusal> {
    gate.ask(|desk| desk.playbooks()).await.map(Json)
}

/// How much is done without being asked.
#[utoipa::path(get, path = "/v1/mode", tag = "mode",
    responses((status = 200, description = "the modes, and whether everything is stopped", body = ModeView)))]
async fn show_mode(State(gate): State<Shared>) -> Result<Json<ModeView>, Refusal> {
    gate.ask(|desk| desk.mode()).await.map(Json)
}

/// Who acts, and how the gateways are.
#[utoipa::path(get, path = "/v1/health", tag = "health",
    responses((status = 200, description = "how it is", body = Health)))]
async fn show_health(State(gate): State<Shared>) -> Result<Json<Health>, Refusal> {
    gate.ask(|desk| desk.health()).await.map(Json)
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "document",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
async fn show_document(State(gate): State<Shared>) -> Response {
    ([(CONTENT_TYPE, "application/json")], gate.document.clone()).into_response()
}
