//! The routes, by role, and the OpenAPI document that is made of them: what is not in one is not in the other.

use axum::middleware::from_fn_with_state;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Paths, Ref, RefOr, Required, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use crate::api::extract::Problem;
use crate::api::guard::{Shared, require};
use crate::api::{reads, writes};
use crate::rights::Role;

/// Changes when a caller must change.
const VERSION: &str = "1";
const TOKEN: &str = "token";
/// The least role that may call, at each operation.
const ROLE_KEY: &str = "x-role";

/// Status, what it means, and whether commands alone are answered so.
const REFUSALS: &[(&str, &str, bool)] = &[
    ("400", "the request cannot be right", false),
    ("401", "no valid token", false),
    ("403", "the role is not enough", false),
    ("404", "there is no such thing", false),
    ("408", "the body did not come in time", true),
    ("409", "not in this state, or too late", true),
    ("413", "the body is larger than 64 KiB", true),
    ("415", "the body is not called JSON", true),
    ("429", "too many calls without a valid token; `Retry-After` says how many seconds to wait", false),
    ("503", "not now", false),
    ("504", "no answer in time; it may still be carried out", false),
];

/// The document alone, as `docs/openapi.json` has it.
///
/// # Errors
/// It cannot be written as JSON.
pub fn openapi() -> Result<String, crate::Error> {
    let (_, document) = routes().split_for_parts();
    to_json(&document)
}

pub(super) fn to_json(document: &OpenApi) -> Result<String, crate::Error> {
    let text = document.to_pretty_json();
    text.map(|text| text + "\n").map_err(|error| crate::Error::Wrong(format!("the OpenAPI document: {error}")))
}

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(head())
        .merge(of(Role::Viewer, reads::viewer()))
        .merge(of(Role::Analyst, writes::analyst()))
        .merge(of(Role::Responder, writes::responder()))
        .merge(of(Role::Administrator, writes::administrator()))
}

/// These routes, for whoever has this role or a higher one.
fn of(role: Role, routes: OpenApiRouter<Shared>) -> OpenApiRouter<Shared> {
    let mut routes = routes.route_layer(from_fn_with_state(role, require));
    for item in routes.get_openapi_mut().paths.paths.values_mut() {
        for (operation, commands) in operations(item) {
            describe(operation, role, commands);
        }
    }
    routes
}

/// Whether each is a command.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&mut Operation, bool)> {
    let commands =
        [&mut item.put, &mut item.post, &mut item.delete].into_iter().flatten().map(|operation| (operation, true));
    item.get.as_mut().map(|operation| (operation, false)).into_iter().chain(commands)
}

/// What all operations have in common.
fn describe(operation: &mut Operation, role: Role, is_command: bool) {
    let extensions = operation.extensions.get_or_insert_default();
    extensions.insert(ROLE_KEY.to_owned(), role.name().into());
    if is_command {
        let key = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("what is sent again with the same key is carried out once"))
            .schema(Some(ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).max_length(Some(64))));
        operation.parameters.get_or_insert_default().push(RefOr::T(key.build()));
    }
    for (status, _, of_commands) in REFUSALS {
        if is_command || !of_commands {
            let refusal = RefOr::Ref(Ref::from_response_name(*status));
            operation.responses.responses.insert((*status).to_owned(), refusal);
        }
    }
}

fn head() -> OpenApi {
    let mut components = Components::new();
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    for (status, what, _) in REFUSALS {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new().description(*what).content("application/json", content).build();
        components.responses.insert((*status).to_owned(), RefOr::T(response));
    }
    components.add_security_scheme(TOKEN, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    let info = InfoBuilder::new().title("Vedette").version(VERSION).description(Some(
        "What Vedette found, did and would do; approvals, releases, verdicts and modes. See docs/api.md.",
    ));
    OpenApiBuilder::new()
        .info(info.build())
        .paths(Paths::new())
        .components(Some(components))
        .security(Some([SecurityRequirement::new(TOKEN, Vec::<String>::new())]))
        .build()
}
