//! The proof of a stored request, made anew with the keys that its route has now.

use http::{HeaderName, HeaderValue, Method};

use super::request::Request;
use super::routes::{Mode, Routes};
use crate::clock::Timestamp;
use crate::event::Name;
use crate::proof::{Proof, Proofs, Unprovable, Unproved};

impl Proofs for Routes {
    fn proof(&self, webhook: &Name, unproved: &Unproved<'_>, now: Timestamp) -> Result<Proof, Unprovable> {
        let route = self.route_named(webhook).ok_or(Unprovable::Gone)?;
        let Mode::Serving(serving) = &route.mode else {
            return Err(Unprovable::NotNow);
        };
        let headers = unproved.headers.iter().filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_bytes(value).ok()?))
        });
        let request = Request::new(
            Method::from_bytes(unproved.method.as_bytes()).unwrap_or_default(),
            unproved.target.to_owned(),
            headers.collect(),
            unproved.body.clone(),
        );
        Ok(serving.platform.prove(&request, now))
    }

    fn made_up(&self, webhook: &Name, text: &str) -> Option<Proof> {
        let sample = self.sample(webhook, text)?;
        Some(Proof {
            headers: sample.headers,
            query: sample.query,
            body: Some(sample.body.into()),
        })
    }
}
