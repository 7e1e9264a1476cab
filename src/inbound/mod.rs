//! HTTP request -> events in the store.
//!
//! A request enters [`receive`], meets one [`platform`], becomes events, enters the store, and is never seen again here.
//! [`Routes`] says what runs: `prepare` does all that can fail, `commit` swaps and cannot.

mod address;
mod aes_cbc;
mod figures;
mod form;
mod json;
mod jwks;
mod jwt;
mod normalise;
mod platform;
mod rate;
mod receive;
mod redact;
mod request;
mod routes;
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
mod fake;
#[cfg(test)]
mod mutation_tests;
#[cfg(test)]
mod shape_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vector_tests;

pub use address::Peer;
pub use figures::Figures;
pub use platform::{FieldError, Sample};
pub use receive::Body;
pub use request::Reason;
pub use routes::{Limits, PreparedRoute, RouteChange, RouteError, Routes};
