//! The routes: each handler with its path, and with what it says of itself. There is no other way to add one, so none is
//! without the guard, and none is missing in the API document.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Router, middleware};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::describe::{Described, Draft, ProblemKind};
use super::guard::{Guarded, guard};
use super::operations::{Access, Operation};
use super::schemas::Schemas;
use super::{body, limits};
use crate::state::AppState;

/// What an operation is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    /// The limits of requests whose body is JSON or nothing.
    Request,
    /// Those of large bodies, which the handler takes in by itself.
    Upload,
    /// Those of what keeps answering when there is too much to do.
    Health,
    /// Nothing.
    None,
}

struct Route {
    operation: Arc<Operation>,
    limit: Limit,
    handler: MethodRouter<AppState>,
    /// What the document says of it.
    description: Map<String, Value>,
}

/// Routes, and what their handlers say of themselves.
pub(super) struct Routes {
    routes: Vec<Route>,
    schemas: Schemas,
    tag: &'static str,
    limit: Limit,
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $method:ident;)*) => {$(
        $(#[$doc])*
        pub(super) fn $name<H, M, A>(
            &mut self,
            path: &'static str,
            name: &'static str,
            handler: H,
            about: &'static str,
        ) -> &mut Self
        where
            H: Handler<M, AppState> + Described<A>,
            M: 'static,
        {
            self.add(Method::$method, MethodFilter::$method, path, name, handler, about)
        }
    )*};
}

impl Routes {
    pub(super) fn new() -> Self {
        Self { routes: Vec::new(), schemas: Schemas::new(), tag: "", limit: Limit::Request }
    }

    /// What follows belongs together.
    pub(super) fn tag(&mut self, tag: &'static str) -> &mut Self {
        self.tag = tag;
        self.limit = Limit::Request;
        self
    }

    /// What follows keeps answering when there is too much to do.
    pub(super) fn that_keep_answering(&mut self) -> &mut Self {
        self.limit = Limit::Health;
        self
    }

    /// What follows always answers: it says that the process runs.
    pub(super) fn that_always_answer(&mut self) -> &mut Self {
        self.limit = Limit::None;
        self
    }

    methods! {
        /// A read. `about` begins with a sentence that says what it does.
        get GET;
        /// A command, or a search, whose criteria do not belong in a URL.
        post POST;
        /// A command that replaces.
        put PUT;
        /// A command that takes away.
        delete DELETE;
    }

    fn add<H, M, A>(
        &mut self,
        method: Method,
        filter: MethodFilter,
        path: &'static str,
        name: &'static str,
        handler: H,
        about: &'static str,
    ) -> &mut Self
    where
        H: Handler<M, AppState> + Described<A>,
        M: 'static,
    {
        let mut draft = Draft::new(path, &mut self.schemas);
        H::describe(&mut draft);
        if self.limit != Limit::None {
            draft.refuses(&[ProblemKind::BadRequest, ProblemKind::Internal]);
            draft.refuses(&[ProblemKind::Unavailable, ProblemKind::Timeout]);
        }
        let limit = if draft.takes_upload { Limit::Upload } else { self.limit };
        let operation = Operation { method, path, access: H::ACCESS, concerns: draft.concerns };
        let mut description = draft.finish();
        let (summary, more) = about.split_once(". ").unwrap_or((about, ""));
        description.insert("tags".to_owned(), json!([self.tag]));
        description.insert("operationId".to_owned(), format!("{}.{name}", self.tag).into());
        description.insert("summary".to_owned(), summary.trim_end_matches('.').into());
        if !more.is_empty() {
            description.insert("description".to_owned(), more.trim().into());
        }
        description.insert("x-permission".to_owned(), permission(operation.access));
        if operation.access == Access::Public {
            description.insert("security".to_owned(), json!([]));
        }
        self.routes.push(Route {
            operation: Arc::new(operation),
            limit,
            handler: on(filter, handler),
            description,
        });
        self
    }

    /// What is known of each operation.
    pub(super) fn operations(&self) -> Vec<Operation> {
        self.routes.iter().map(|route| Operation::clone(&route.operation)).collect()
    }

    /// What the document says of each operation, by path and method, and what the types it names look like. It is
    /// collected once.
    pub(super) fn document<P: JsonSchema>(&mut self) -> (Map<String, Value>, Map<String, Value>) {
        let mut schemas = std::mem::replace(&mut self.schemas, Schemas::new());
        schemas.written::<P>();
        let mut descriptions: Vec<_> = self
            .routes
            .iter_mut()
            .map(|route| (&route.operation, std::mem::take(&mut route.description)))
            .collect();
        let mut bodies: Vec<&mut Value> = descriptions
            .iter_mut()
            .filter_map(|(_, description)| description.get_mut("requestBody"))
            .collect();
        let schemas = schemas.finish(&mut bodies);
        let mut paths = Map::new();
        for (operation, description) in descriptions {
            // The router's mark for "the rest of the path" is not OpenAPI's.
            let path = paths.entry(operation.path.replace("{*", "{")).or_insert_with(|| json!({}));
            path[operation.method.as_str().to_ascii_lowercase()] = Value::Object(description);
        }
        (paths, schemas)
    }

    /// The router of all of them: who is calling, a place among those who are served, how long it may take.
    pub(super) fn router(self, state: &AppState) -> Router<AppState> {
        let (mut requests, mut uploads) = (Router::new(), Router::new());
        let (mut health, mut others) = (Router::new(), Router::new());
        let admit = middleware::from_fn_with_state(state.clone(), limits::admit);
        for Route { operation, limit, handler, .. } in self.routes {
            let path = operation.path;
            let guarded = Guarded { state: state.clone(), operation };
            let guard = middleware::from_fn_with_state(guarded, guard);
            match limit {
                Limit::Request => {
                    let handler = handler.layer(admit.clone()).layer(guard);
                    requests = requests.route(path, handler);
                }
                // They take their body in by themselves, once their headers are in order.
                Limit::Upload => uploads = uploads.route(path, handler.layer(guard)),
                Limit::Health => health = health.route(path, handler.layer(guard)),
                Limit::None => others = others.route(path, handler.layer(guard)),
            }
        }
        let within = |time| middleware::from_fn_with_state(time, limits::time_out);
        let of_health = state.gate.health.clone();
        let requests = requests
            .layer(DefaultBodyLimit::max(body::MAX_JSON_BYTES))
            .layer(within(state.http.request_time()));
        let uploads = uploads.layer(within(state.http.upload_time()));
        let health =
            health.route_layer(middleware::from_fn_with_state(of_health, limits::admit_public));
        requests.merge(uploads).merge(health).merge(others)
    }
}

/// Who may use an operation, as the document says it.
fn permission(access: Access) -> Value {
    match access {
        Access::Public => json!("none: open to all"),
        Access::Authenticated => json!("any account"),
        Access::Needs(permission) => {
            let roles: Vec<_> = permission.roles().iter().map(|role| role.as_str()).collect();
            json!({ "permission": permission.as_str(), "roles": roles })
        }
    }
}
