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
mod caller;
mod command;
mod custody;
mod describe;
mod directory;
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
mod query;
mod read;
mod receipts;
mod refusal;
mod routes;
pub mod scans;
mod schemas;
mod sessions;
mod spool;
pub mod trace;
mod wounds;

use axum::extract::MatchedPath;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::edge;
use crate::state::AppState;
use operations::{Access, Concerns, Operation};
use problem::Problem;
use routes::Routes;

/// All routes.
fn routes() -> Routes {
    let mut routes = Routes::new();
    for add in [
        sessions::add,
        accounts::add,
        patients::add,
        custody::add,
        directory::add,
        appointments::add,
        wounds::add,
        scans::add,
        overlays::add,
        models::add,
        receipts::add,
        log::add,
        health::add,
    ] {
        add(&mut routes);
    }
    routes
}

/// All endpoints, ready to be served.
pub fn router(state: AppState) -> Router {
    let mut routes = routes();
    let document = openapi::document(&mut routes);
    let known = operations_of(&routes);
    let ui = SwaggerUi::new("/docs").config(Config::from("/openapi.json"));
    let of_pages = middleware::from_fn_with_state(state.gate.public.clone(), limits::admit_public);
    let pages = Router::new()
        .route(DOCUMENT, get(move || async move { Json(document) }))
        .merge(ui)
        .route_layer(of_pages);
    let wrong_method = move |path: Option<MatchedPath>| async move {
        let path = path.as_ref().map_or("", MatchedPath::as_str);
        Problem::method_not_allowed(&operations::methods_of(&known, path))
    };
    Router::new()
        .merge(routes.router(&state))
        .merge(pages)
        .fallback(|| async { Problem::no_such_path() })
        .method_not_allowed_fallback(wrong_method)
        .layer(
            ServiceBuilder::new()
                .layer(middleware::from_fn(trace::request))
                .layer(CatchPanicLayer::custom(limits::panicked))
                .layer(no_sniffing()),
        )
        .with_state(state)
}

/// Where the API document is.
const DOCUMENT: &str = "/openapi.json";

/// The OpenAPI document.
#[must_use]
pub fn document() -> Value {
    openapi::document(&mut routes())
}

/// Every operation, and who may use it.
#[must_use]
pub fn operations() -> Vec<Operation> {
    operations_of(&routes())
}

fn operations_of(routes: &Routes) -> Vec<Operation> {
    let mut operations = routes.operations();
    operations.push(Operation {
        method: Method::GET,
        path: DOCUMENT,
        access: Access::Public,
        concerns: Concerns::Nobody,
    });
    operations
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
