//! What a request says outside of its body. What cannot be read is a problem like any other.

use axum::RequestPartsExt as _;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::Failure;

/// The parameters of a query.
pub(super) struct Params<T>(pub(super) T);

/// The names in a path.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send + 'static, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let read = parts.extract::<Query<T>>().await;
        read.map(|Query(params)| Self(params))
            .map_err(|error| Failure::bad_request(error.body_text()))
    }
}

impl<T: DeserializeOwned + Send + 'static, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let read = parts.extract::<Path<T>>().await;
        read.map(|Path(names)| Self(names))
            .map_err(|error| Failure::bad_request(error.body_text()))
    }
}
