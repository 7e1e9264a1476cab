//! The swap: what was prepared becomes what runs. Nothing here can fail, so nothing here returns a `Result`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::document::settings::{Admin, Listen, Server};
use crate::event::Name;
use crate::inbound::{self, Routes};
use crate::listener::{Handler, Limits, Serving};
use crate::outbound::{Dispatcher, SenderChange};
use crate::store::SenderKey;

use super::prepare::{ListenerPart, Prepared, SenderPart};

/// How often it is looked whether the last connection of a retired listener has ended.
const RETIRED_LOOK: Duration = Duration::from_secs(1);

/// How long a retired listener's requests may take when the gateway stops, which cuts them earlier: `shutdownTimeout` is
/// no longer.
const RETIRED_DRAIN: Duration = Duration::from_hours(1);

/// The admin room, as the reconciler sees it: a handler whose settings change in place.
pub trait AdminHandler: Handler {
    /// Takes the tokens and host names that hold from now on.
    fn configure(&self, settings: &Admin, address: &str);
}

/// What runs and can be changed.
pub(super) struct Running {
    pub(super) routes: Arc<Routes>,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) admin_handler: Arc<dyn AdminHandler>,
    pub(super) public: Option<(Serving, Server)>,
    pub(super) admin: Option<(Serving, Admin)>,
    /// Listeners that were rebound: they end when what they accepted has ended.
    pub(super) retiring: JoinSet<()>,
    /// Their connections are drained.
    pub(super) stopping: CancellationToken,
}

impl Running {
    /// Senders before routes before listeners: whatever is accepted has its senders already.
    ///
    /// `standing` says what the store knows of a sender: why it is suspended, and whether it may be owed something. Of a
    /// sender that is degraded here, and whose entry is as it was, what suspends it holds.
    pub(super) fn commit(
        &mut self,
        prepared: Prepared,
        keys: &HashMap<Name, SenderKey>,
        standing: &dyn Fn(SenderKey) -> (Option<String>, bool),
    ) {
        if let Some(egress) = prepared.egress {
            self.dispatcher.set_egress(&egress);
        }
        let standing = |key, lenient: bool| {
            let (suspended, owed) = standing(key);
            let stays = || self.dispatcher.suspension(key).filter(|_| lenient);
            (suspended.or_else(stays), owed)
        };
        self.dispatcher.commit(
            prepared
                .senders
                .into_iter()
                .filter_map(|part| sender_change(part, keys, &standing))
                .collect(),
        );
        self.routes.commit(prepared.routes);
        if let Some(part) = prepared.public {
            self.routes.set_limits(inbound::Limits {
                max_body_bytes: part.settings.max_body_bytes,
                trusted_proxies: part.settings.trusted_proxies.clone(),
                ..inbound::Limits::default()
            });
            let limits = Limits {
                max_connections: part.settings.max_connections,
                ..Limits::default()
            };
            let handler: Arc<dyn Handler> = self.routes.clone();
            let serving = swap(
                part,
                self.public.take(),
                handler,
                limits,
                &mut self.retiring,
                &self.stopping,
            );
            self.public = Some(serving);
        }
        if let Some(part) = prepared.admin {
            let settings = part.settings.clone();
            let handler: Arc<dyn Handler> = self.admin_handler.clone();
            let serving = swap(
                part,
                self.admin.take(),
                handler,
                Limits::default(),
                &mut self.retiring,
                &self.stopping,
            );
            self.admin_handler
                .configure(&settings, &url(&serving.0, settings.tls.is_some()));
            self.admin = Some(serving);
        }
        // Rebinds are rare: whatever has retired by now is joined here, the rest at the end.
        while self.retiring.try_join_next().is_some() {}
    }
}

fn sender_change(
    part: SenderPart,
    keys: &HashMap<Name, SenderKey>,
    standing: &dyn Fn(SenderKey, bool) -> (Option<String>, bool),
) -> Option<SenderChange> {
    // A removed sender that the store never knew (it was created and deleted while nothing ran) has nothing to drain.
    Some(match part {
        SenderPart::Put {
            name,
            sender: Ok(sender),
            lenient,
            ..
        } => {
            let key = *keys.get(&name)?;
            let (suspended, owed) = standing(key, lenient);
            SenderChange::Put {
                key,
                sender,
                suspended,
                owed,
            }
        }
        SenderPart::Put {
            name,
            sender: Err(problem),
            lenient,
            ..
        } => {
            let key = *keys.get(&name)?;
            SenderChange::Degraded {
                key,
                name,
                reason: problem.to_string(),
                suspended: standing(key, lenient).0,
            }
        }
        SenderPart::Remove {
            name,
            on_delete,
            drain_timeout,
        } => SenderChange::Remove {
            key: *keys.get(&name)?,
            on_delete,
            drain_timeout,
        },
    })
}

/// What the old listener accepted goes on for as long as its clients keep it, or until the gateway stops.
async fn retire(old: Serving, stopping: CancellationToken) {
    let retired = old.retire().await;
    while retired.open() > 0 {
        tokio::select! {
            () = stopping.cancelled() => {
                retired.drain(RETIRED_DRAIN).await;
                return;
            }
            () = tokio::time::sleep(RETIRED_LOOK) => {}
        }
    }
}

/// Where a listener is, for people and for the API's guard.
pub(super) fn url(serving: &Serving, tls: bool) -> String {
    match (serving.address(), serving.listen()) {
        (Some(address), _) => format!("{}://{address}", if tls { "https" } else { "http" }),
        (None, Listen::Unix(path)) => format!("unix:{}", path.display()),
        (None, Listen::Tcp(address)) => format!("{}://{address}", if tls { "https" } else { "http" }),
    }
}

/// The new listener listens before the old one retires.
fn swap<S>(
    part: ListenerPart<S>,
    standing: Option<(Serving, S)>,
    handler: Arc<dyn Handler>,
    limits: Limits,
    retiring: &mut JoinSet<()>,
    stopping: &CancellationToken,
) -> (Serving, S) {
    match (part.bound, standing) {
        (Some(bound), standing) => {
            let serving = bound.serve(handler, limits);
            if let Some((old, _)) = standing {
                retiring.spawn(retire(old, stopping.clone()));
            }
            (serving, part.settings)
        }
        (None, Some((serving, _))) => {
            serving.set_limits(limits);
            serving.set_tls(part.tls);
            (serving, part.settings)
        }
        (None, None) => unreachable!("a first listener is always bound by prepare"),
    }
}
