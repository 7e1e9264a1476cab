//! What ran when the reconciler stopped, and how its listeners end.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::commit::Running;

/// How long requests to the admin API may take: it is the last that is asked whether the gateway lives.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);

/// What ran when the reconciler stopped.
pub struct Stopped {
    running: Running,
}

impl Stopped {
    pub(super) fn of(running: Running) -> Self {
        Self { running }
    }

    /// Stops accepting, lets requests in flight finish until `end`, public listener first. What is left then is cut.
    pub async fn drain(mut self, end: Instant) {
        self.running.stopping.cancel();
        let left = || end.saturating_duration_since(Instant::now());
        if let Some((serving, _)) = self.running.public.take() {
            serving.drain(left()).await;
        }
        if let Some((serving, _)) = self.running.admin.take() {
            serving.drain(left().min(ADMIN_DRAIN)).await;
        }
        let retired = async { while self.running.retiring.join_next().await.is_some() {} };
        if timeout_at(end, retired).await.is_err() {
            self.running.retiring.shutdown().await;
        }
    }
}
