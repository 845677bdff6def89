//! The endpoints: commands in, receipts out; queries in, documents out.
//!
//! The way of a request: [`trace`] names it, `guard` asks who is calling and whether they may, `intake` takes its
//! body in, [`limits`] let it in, [`call`] reads its headers, [`body`] its body; then one call to the ledger or to the
//! read models. Whatever goes wrong on the way is a [`problem::Problem`].

mod accounts;
mod answer;
mod appointments;
pub mod body;
pub mod call;
mod custody;
pub mod gate;
mod guard;
mod health;
pub mod ids;
mod intake;
pub mod limits;
mod log;
mod models;
mod openapi;
pub mod operations;
mod overlays;
mod path;
mod patients;
pub mod problem;
mod read;
mod receipts;
mod refusal;
pub mod scans;
pub mod schema;
mod sessions;
mod spool;
pub mod trace;
mod wounds;

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, header};
use axum::routing::get;
use axum::{Json, Router, middleware};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::edge;
use crate::state::AppState;
use problem::Problem;

/// All endpoints, ready to be served.
pub fn router(state: AppState) -> Router {
    let (request_time, upload_time) = (state.http.request_time(), state.http.upload_time());
    let (json, document) = described().split_for_parts();
    let uploads = uploads().split_for_parts().0;
    let packages = packages().split_for_parts().0;

    // From the inside out: the body and a permit, who is calling, how long it may take. Uploads take their body in
    // themselves, once their headers are in order.
    let guard = middleware::from_fn_with_state(state.clone(), guard::guard);
    let json = json
        .route_layer(middleware::from_fn_with_state(state.clone(), limits::admit))
        .route_layer(guard.clone())
        .layer(DefaultBodyLimit::max(body::MAX_JSON_BYTES))
        .layer(middleware::from_fn_with_state(request_time, limits::hurry));
    let uploads = uploads
        .merge(packages)
        .route_layer(guard)
        .layer(middleware::from_fn_with_state(upload_time, limits::hurry));
    let of_health = middleware::from_fn_with_state(state.gate.health.clone(), limits::admit_public);
    let of_pages = middleware::from_fn_with_state(state.gate.public.clone(), limits::admit_public);
    let endpoints = json
        .merge(uploads)
        .merge(operation().split_for_parts().0.route_layer(of_health))
        // Held by nothing: it says that the process runs.
        .merge(alive().split_for_parts().0);

    let document = openapi::complete(document);
    let ui = SwaggerUi::new("/docs").config(Config::from("/openapi.json"));
    let pages = Router::new()
        .route("/openapi.json", get(move || async move { Json(document) }))
        .merge(ui)
        .route_layer(of_pages);
    Router::new()
        .merge(endpoints)
        .merge(pages)
        .fallback(|| async { guard::no_such_path() })
        .method_not_allowed_fallback(wrong_method)
        .layer(
            ServiceBuilder::new()
                .layer(middleware::from_fn(trace::request))
                .layer(CatchPanicLayer::custom(limits::panicked))
                .layer(no_sniffing()),
        )
        .with_state(state)
}

/// The endpoints that take JSON or nothing, and all descriptions.
fn described() -> OpenApiRouter<AppState> {
    let mut api = OpenApiRouter::with_openapi(openapi::Base::openapi())
        .routes(routes!(sessions::log_in))
        .routes(routes!(accounts::register))
        .routes(routes!(accounts::show))
        .routes(routes!(accounts::grant_role, accounts::revoke_role))
        .routes(routes!(accounts::disable))
        .routes(routes!(patients::register))
        .routes(routes!(patients::search))
        .routes(routes!(patients::show))
        .routes(routes!(patients::edit_demographics))
        .routes(routes!(patients::edit_contacts))
        .routes(routes!(patients::edit_identifiers))
        .routes(routes!(patients::deactivate))
        .routes(routes!(custody::place_hold, custody::holds))
        .routes(routes!(custody::release_hold))
        .routes(routes!(custody::erase))
        .routes(routes!(custody::show))
        .routes(routes!(wounds::of_patient))
        .routes(routes!(appointments::book, appointments::list))
        .routes(routes!(appointments::show))
        .routes(routes!(appointments::reschedule))
        .routes(routes!(appointments::cancel))
        .routes(routes!(appointments::check_in))
        .routes(routes!(appointments::fulfil))
        .routes(routes!(appointments::no_show))
        .routes(routes!(appointments::entered_in_error))
        .routes(routes!(wounds::open))
        .routes(routes!(wounds::show))
        .routes(routes!(wounds::healing))
        .routes(routes!(wounds::healing_chart))
        .routes(routes!(overlays::overlay))
        .routes(routes!(wounds::reject_scan))
        .routes(routes!(wounds::confirm_measurement))
        .routes(routes!(wounds::withdraw_measurement))
        .routes(routes!(wounds::close))
        .routes(routes!(models::list))
        .routes(routes!(models::show))
        .routes(routes!(models::activate))
        .routes(routes!(models::roll_back))
        .routes(routes!(receipts::receipt))
        .routes(routes!(log::checkpoint))
        .routes(routes!(log::keys))
        .routes(routes!(log::inclusion))
        .routes(routes!(log::consistency))
        .routes(routes!(log::tile));
    for part in [uploads(), packages(), alive(), operation()] {
        api.get_openapi_mut().merge(part.into_openapi());
    }
    api
}

/// The endpoints with large bodies and more time.
fn uploads() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(scans::hand_in))
}

/// The endpoint that takes models, which are larger still.
fn packages() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(models::register))
}

/// The endpoint that always answers.
fn alive() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(health::live))
}

/// What keeps answering when there is too much to do.
fn operation() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(health::ready)).routes(routes!(health::figures))
}

/// The OpenAPI document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    openapi::complete(described().into_openapi())
}

async fn wrong_method(path: Option<axum::extract::MatchedPath>) -> Problem {
    guard::method_not_allowed(path.as_ref().map_or("", axum::extract::MatchedPath::as_str))
}

fn no_sniffing() -> SetResponseHeaderLayer<HeaderValue> {
    const NAME: HeaderName = header::X_CONTENT_TYPE_OPTIONS;
    SetResponseHeaderLayer::overriding(NAME, HeaderValue::from_static("nosniff"))
}

/// Serves until `shutdown` is cancelled; then takes no more connections and gives the open requests the
/// configured time to end.
pub async fn serve(state: AppState, listener: TcpListener, shutdown: CancellationToken) {
    let grace = state.http.grace_time();
    let connections = state.http.connections.clone();
    let stopping = state.stopping.clone();
    let stop = shutdown.clone();
    let told = tokio::spawn(async move {
        stop.cancelled().await;
        stopping.cancel();
    });
    edge::serve(listener, router(state), connections, shutdown, grace).await;
    told.abort();
}
