//! The proof of a stored request, made anew with the keys that its route has now.

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
        let request = Request::new(
            unproved.method.clone(),
            unproved.target.to_owned(),
            unproved.headers.clone(),
            unproved.body.clone(),
        );
        Ok(serving.platform.prove(&request, now))
    }
}
