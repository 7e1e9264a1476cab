//! The suite every engine is held to.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Disk, SimulatedStore, Weather};
use crate::clock::ManualClock;
use crate::store::Store;
use crate::store::conformance::{Bed, conformance};

#[async_trait]
impl Bed for Disk {
    async fn open(&self, clock: Arc<ManualClock>, max_bytes: u64) -> Arc<dyn Store> {
        SimulatedStore::open(self, max_bytes, clock, Box::new(|_| Weather::default()))
    }

    async fn open_backup(&self, to: &Path) -> Arc<dyn Store> {
        let clock = Arc::new(ManualClock::at(crate::clock::from_ms(0)));
        SimulatedStore::open(&self.backup(to), 0, clock, Box::new(|_| Weather::default()))
    }
}

conformance!(Disk::default());
