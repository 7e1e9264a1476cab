//! HTTP request -> events in the store.
//!
//! A request enters [`receive`], meets one [`platform`], becomes events, enters the store, and is never seen again here.
//! [`Routes`] says what runs: `prepare` does all that can fail, `commit` swaps and cannot.

mod address;
mod aes_cbc;
mod again;
mod delivery;
mod figures;
mod form;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod json;
mod jwks;
mod jwt;
mod normalise;
mod platform;
mod prove;
mod published;
mod rate;
mod receive;
mod redact;
mod rejecting;
mod request;
mod routes;
mod sample;
mod signature;
mod standard_webhooks;
mod tables;
mod trace;
mod xml;

#[cfg(test)]
mod chat_shape_tests;
#[cfg(test)]
mod coming_tests;
#[cfg(test)]
mod encrypted_tests;
#[cfg(test)]
mod every_platform_tests;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod fuzzing_tests;
#[cfg(test)]
mod mutation_tests;
#[cfg(test)]
mod shape_tests;
#[cfg(test)]
mod stored_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vector_tests;
#[cfg(test)]
mod work_shape_tests;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyper::body::Incoming;

use crate::listener;

pub use address::Peer;
pub use again::NotRead;
pub use delivery::DeliveryProof;
pub use figures::Figures;
pub use platform::{FieldError, Sample};
pub use published::PublishedData;
pub use rejecting::{REJECTING_REFUSALS, REJECTING_WINDOW, Rejecting};
pub use request::Reason;
pub use routes::{Limits, PreparedRoute, RouteChange, RouteError, Routes};

impl listener::Handler for Routes {
    fn handle(
        self: Arc<Self>,
        request: http::Request<Incoming>,
        peer: listener::Peer,
    ) -> BoxFuture<'static, http::Response<listener::Body>> {
        let peer = peer.ip().map_or(Peer::Unix, Peer::Ip);
        Box::pin(async move { Routes::handle(&self, request, peer).await })
    }

    /// What is stored is counted, whoever reads the answer.
    fn finishes(&self) -> bool {
        true
    }
}
