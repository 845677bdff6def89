//! The endpoints: commands in, receipts out; queries in, documents out.
//!
//! The way of a request: [`trace`] names it, [`limits`] bound it, `guard` asks who is calling and
//! whether they may, [`call`] reads its headers, [`body`] its body; then one call to the ledger or to the
//! read models. Whatever goes wrong on the way is a [`problem::Problem`].

mod accounts;
mod answer;
mod appointments;
pub mod body;
pub mod call;
mod custody;
mod disclosure;
mod guard;
mod health;
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
pub mod trace;
mod wounds;

use std::error::Error;
use std::io;
use std::net::SocketAddr;

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

use crate::state::AppState;
use problem::Problem;
use projections::wound::network::MAX_PACKAGE_BYTES;

/// All endpoints, ready to be served.
pub fn router(state: AppState) -> Router {
    let requests = state.requests.clone();
    let (request_time, upload_time) = (state.http.request_time(), state.http.upload_time());
    let (json, document) = described().split_for_parts();
    let uploads = uploads().split_for_parts().0;
    let packages = packages().split_for_parts().0;

    // From the inside out: who is calling, how much they may send, how long it may take.
    let guard = middleware::from_fn_with_state(state.clone(), guard::guard);
    let json = json
        .route_layer(guard.clone())
        .layer(DefaultBodyLimit::max(body::MAX_JSON_BYTES))
        .layer(middleware::from_fn_with_state(request_time, limits::hurry));
    let upload = |router: Router<AppState>, bytes_max| {
        router
            .route_layer(guard.clone())
            .layer(DefaultBodyLimit::max(bytes_max))
            .layer(middleware::from_fn_with_state(upload_time, limits::hurry))
    };
    let endpoints = json
        .merge(upload(uploads, scans::MAX_CAPTURE_BYTES))
        .merge(upload(packages, MAX_PACKAGE_BYTES))
        // Outside of all that takes time, so that a full server says so at once.
        .layer(middleware::from_fn_with_state(requests, limits::admit))
        .merge(operation().split_for_parts().0);

    let document = openapi::complete(document);
    let ui = SwaggerUi::new("/docs").config(Config::from("/openapi.json"));
    Router::new()
        .merge(endpoints)
        .route("/openapi.json", get(move || async move { Json(document) }))
        .merge(ui)
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
    for part in [uploads(), packages(), operation()] {
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

/// What keeps answering when there is too much to do.
fn operation() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::figures))
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
///
/// # Errors
///
/// When the listener fails.
pub async fn serve(
    state: AppState,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let grace = state.http.grace_time();
    let stopping = state.stopping.clone();
    let service = router(state).into_make_service_with_connect_info::<SocketAddr>();
    let stop = shutdown.clone();
    let server = axum::serve(listener, service).with_graceful_shutdown(async move {
        stop.cancelled().await;
        stopping.cancel();
    });
    tokio::select! {
        served = server.into_future() => served,
        () = async { shutdown.cancelled().await; tokio::time::sleep(grace).await } => {
            tracing::warn!("some requests did not end in time and were dropped");
            Ok(())
        }
    }
}

/// An error with its sources, on one line, for the log.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
