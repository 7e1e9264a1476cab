//! The API's server: routing, the guard before it, and the gateway's health.

mod change;
mod guard;
mod metrics;
mod parts;
mod probe;
mod read;
mod replay;
mod show;
mod stream;
mod test;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use crate::admin::wire::Problem;
use crate::clock::SharedClock;
use crate::document::Admin;
use crate::inbound::Routes;
use crate::listener::{Body, Handler, Peer};
use crate::outbound::Dispatcher;
use crate::reconcile::{AdminHandler, Reconciler};
use crate::store::{Store, StoreError};

use guard::Guard;

/// The largest request: a document of 64 MiB as a JSON string, with room for its escapes.
const LARGEST_REQUEST: usize = 160 * 1024 * 1024;

/// How long the store may take to answer a health check.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// What the handlers work with.
pub(super) struct Api {
    reconciler: Reconciler,
    store: Arc<dyn Store>,
    routes: Arc<Routes>,
    dispatcher: Arc<Dispatcher>,
    clock: SharedClock,
    /// Open streams of events: at most [`stream::STREAMS`].
    streams: Arc<Semaphore>,
}

/// The state that axum hands to each handler.
type State = axum::extract::State<Arc<Api>>;

/// What a handler answers.
type Answer<T> = Result<T, Failure>;

/// The admin room's handler.
pub struct Server {
    router: Router,
    guard: ArcSwap<Guard>,
}

impl Server {
    /// A server that refuses everything until it is configured.
    #[must_use]
    pub fn new(
        reconciler: Reconciler,
        store: Arc<dyn Store>,
        routes: Arc<Routes>,
        dispatcher: Arc<Dispatcher>,
        clock: SharedClock,
    ) -> Arc<Self> {
        let api = Arc::new(Api {
            reconciler,
            store,
            routes,
            dispatcher,
            clock,
            streams: Arc::new(Semaphore::new(stream::STREAMS)),
        });
        Arc::new(Self {
            router: router(api),
            guard: ArcSwap::from_pointee(Guard::default()),
        })
    }
}

fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::metrics))
        .route("/v1/status", get(read::status))
        .route("/v1/document", get(read::document))
        .route("/v1/webhooks", get(read::webhooks))
        .route("/v1/webhooks/{direction}/{name}", get(read::webhook))
        .route("/v1/webhooks/outbound/{name}/resume", post(change::resume))
        .route("/v1/webhooks/outbound/{name}/test", post(test::outbound))
        .route("/v1/webhooks/inbound/{name}/test", post(test::inbound))
        .route("/v1/generations", get(read::generations))
        .route("/v1/logs", get(read::logs))
        .route("/v1/dead", get(read::dead))
        .route("/v1/dead/purge", post(change::purge))
        .route("/v1/replay", post(replay::replay))
        .route("/v1/events/stream", get(stream::events))
        .route("/v1/events", get(read::events).post(change::publish))
        .route("/v1/events/{id}", get(read::story))
        .route("/v1/plan", post(change::plan))
        .route("/v1/apply", post(change::apply))
        .route("/v1/reload", post(change::reload))
        .fallback(|| async { Failure::new(StatusCode::NOT_FOUND, "no such path", "see /v1/status") })
        .method_not_allowed_fallback(|| async {
            Failure::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method not allowed",
                "this path takes another method",
            )
        })
        .layer(DefaultBodyLimit::max(LARGEST_REQUEST))
        .with_state(api)
}

impl Handler for Server {
    fn handle(
        self: Arc<Self>,
        request: http::Request<Incoming>,
        peer: Peer,
    ) -> BoxFuture<'static, http::Response<Body>> {
        Box::pin(async move {
            let guard = self.guard.load();
            let checked = guard.check(request.method(), request.uri(), request.headers(), &peer);
            drop(guard);
            if let Err(refused) = checked {
                return refused.into_response().map(Body::wrap);
            }
            let answered = self.router.clone().oneshot(request.map(axum::body::Body::new)).await;
            match answered {
                Ok(response) => response.map(Body::wrap),
                Err(never) => match never {},
            }
        })
    }
}

impl AdminHandler for Server {
    fn configure(&self, settings: &Admin, address: &str) {
        self.guard.store(Arc::new(Guard::new(settings, address)));
    }
}

/// The process lives and its tasks are scheduled.
async fn healthy() -> &'static str {
    "ok\n"
}

/// The last good document serves, and its store answers. Anybody may ask, and as often as they like: it costs one row.
async fn ready(api: State) -> Answer<&'static str> {
    match tokio::time::timeout(HEALTH_TIMEOUT, api.store.answers()).await {
        Ok(Ok(())) => Ok("ready\n"),
        Ok(Err(e)) => Err(e.into()),
        Err(_) => Err(Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready",
            "the store does not answer",
        )),
    }
}

/// An RFC 9457 answer.
#[derive(Debug)]
pub(super) struct Failure(Box<Problem>);

impl Failure {
    pub(super) fn new(status: StatusCode, title: &str, detail: impl Into<String>) -> Self {
        Problem::new(status.as_u16(), "about:blank", title, detail).into()
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad request", detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not found", detail)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<StoreError> for Failure {
    fn from(e: StoreError) -> Self {
        let status = match e {
            StoreError::Full(_) | StoreError::Busy(_) | StoreError::Closed => StatusCode::SERVICE_UNAVAILABLE,
            StoreError::Stale { .. } => StatusCode::CONFLICT,
            StoreError::Cursor(_) => return Self::bad_request(e.to_string()),
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, "the store failed", e.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&*self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            "content-type",
            http::HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert("retry-after", http::HeaderValue::from_static("1"));
        }
        response
    }
}
