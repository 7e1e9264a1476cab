//! What is true of a resource or of the gateway, in the form that Kubernetes made familiar.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// One condition. Types and reasons are closed lists: [`types`] and [`reasons`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What it is about: one of [`types`].
    pub r#type: String,
    /// Whether it is so.
    pub status: bool,
    /// Why, as one word: one of [`reasons`].
    pub reason: String,
    /// Why, as one sentence for a person; no secrets.
    pub message: String,
    /// Since when its status has been so.
    pub since: Timestamp,
    /// The generation that was running when it was last looked at.
    pub observed_generation: u64,
}

/// Makes a closed list: its words as constants, and `ALL` of them with what they mean.
macro_rules! words {
    ($($(#[doc = $meaning:literal])+ pub const $name:ident: &str = $word:literal;)+) => {
        $($(#[doc = $meaning])+ pub const $name: &str = $word;)+

        /// Each word and what it means.
        pub const ALL: &[(&str, &str)] = &[$(($word, concat!($($meaning),+))),+];
    };
}

/// The types of conditions.
pub mod types {
    words! {
        /// A resource does what the document says; of the gateway itself: it serves.
        pub const READY: &str = "Ready";
        /// The newest document was applied.
        pub const APPLIED: &str = "Applied";
        /// Every desired path answers in the gateway's own router.
        pub const ROUTES_CONSISTENT: &str = "RoutesConsistent";
        /// The document and the files that it names are watched.
        pub const WATCHING: &str = "Watching";
        /// The store has little room left, or none. The only one that is bad when it holds.
        pub const STORE_PRESSURE: &str = "StorePressure";
    }
}

/// The reasons of conditions.
pub mod reasons {
    words! {
        /// All is well.
        pub const OK: &str = "Ok";
        /// `paused: true`.
        pub const PAUSED: &str = "Paused";
        /// A secret that a reference names is missing.
        pub const SECRET_MISSING: &str = "SecretMissing";
        /// The resource could not be prepared for another reason.
        pub const PREPARE_FAILED: &str = "PrepareFailed";
        /// The endpoint answered that it is gone; `openclaw webhooks resume` lifts it.
        pub const SUSPENDED: &str = "Suspended";
        /// The last attempts failed, or the circuit breaker is open.
        pub const FAILING: &str = "Failing";
        /// The document is broken; the last good one runs.
        pub const DOCUMENT_INVALID: &str = "DocumentInvalid";
        /// The document cannot be read; the last good one runs.
        pub const DOCUMENT_MISSING: &str = "DocumentMissing";
        /// The document would delete too much; it waits for `openclaw apply --allow-deletes`.
        pub const HELD: &str = "Held";
        /// `reconcile.mode: manual`: the document waits for `openclaw apply`.
        pub const PENDING: &str = "Pending";
        /// A rollback runs, and the file cannot be written: it is pinned until the file changes.
        pub const PINNED: &str = "Pinned";
        /// A desired path does not answer.
        pub const PATH_NOT_SERVED: &str = "PathNotServed";
        /// The operating system cannot watch files: changes come by `openclaw apply` and SIGHUP alone.
        pub const UNWATCHED: &str = "Unwatched";
        /// The operating system gives no events: files are looked at every two seconds.
        pub const POLLED: &str = "Polled";
        /// The file is bind-mounted by itself: a file renamed over it on the host is never seen.
        pub const BIND_MOUNTED: &str = "BindMounted";
        /// Nine tenths of `store.maxBytes` are in use.
        pub const NEARLY_FULL: &str = "NearlyFull";
        /// New events are answered 503: `store.maxBytes` is reached, or the disk is full.
        pub const FULL: &str = "Full";
    }
}

/// The conditions of one resource (or of the gateway), by type.
#[derive(Debug, Clone, Default)]
pub struct Conditions(BTreeMap<&'static str, Condition>);

impl Conditions {
    /// Sets one; `since` moves only where the status changes.
    pub fn set(
        &mut self,
        r#type: &'static str,
        status: bool,
        reason: &'static str,
        message: impl Into<String>,
        now: Timestamp,
        generation: u64,
    ) {
        let since = self
            .0
            .get(r#type)
            .filter(|old| old.status == status)
            .map_or(now, |old| old.since);
        self.0.insert(
            r#type,
            Condition {
                r#type: r#type.to_owned(),
                status,
                reason: reason.to_owned(),
                message: message.into(),
                since,
                observed_generation: generation,
            },
        );
    }

    /// The one of this type.
    #[must_use]
    pub fn get(&self, r#type: &str) -> Option<&Condition> {
        self.0.get(r#type)
    }

    /// All of them, by type.
    #[must_use]
    pub fn to_vec(&self) -> Vec<Condition> {
        self.0.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_moves_only_when_the_status_changes() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let mut conditions = Conditions::default();
        conditions.set(types::READY, true, reasons::OK, "", at(1), 1);
        conditions.set(types::READY, true, reasons::OK, "still", at(2), 2);
        assert_eq!(conditions.get(types::READY).unwrap().since, at(1));
        conditions.set(types::READY, false, reasons::SECRET_MISSING, "", at(3), 2);
        assert_eq!(conditions.get(types::READY).unwrap().since, at(3));
    }
}
