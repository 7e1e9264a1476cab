//! Where a reading command's answers come from: a gateway, or document and store where none runs.

use std::sync::Arc;

use url::form_urlencoded;

use super::{Context, Error, document, local, target::Target, time};
use crate::admin::client::{Client, ClientError};
use crate::admin::wire::{Direction, Listing, WebhookDetail, WebhookRow, WebhookState};
use crate::clock::{self, SharedClock};
use crate::document::{Address, Desired};
use crate::event::Name;
use crate::store::{DeadLetter, DeadQuery, EventQuery, EventRow, LogEntry, LogQuery, Page, SenderKey, Store, Story};

/// Rows of one page, where all are wanted: the most that a gateway gives.
const PAGE: usize = 1000;

/// A gateway, or what lies beside the document.
pub(crate) enum Source {
    /// It runs.
    Gateway(Client),
    /// None does.
    Local(Local),
}

/// The document and its store.
pub(crate) struct Local {
    desired: Arc<Desired>,
    /// `None`: no gateway ever made one.
    store: Option<Arc<dyn Store>>,
    clock: SharedClock,
}

/// Which log entries are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogsWanted {
    pub(crate) failed: bool,
    pub(crate) status: Option<u16>,
    pub(crate) since_ms: Option<i64>,
}

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventsWanted {
    pub(crate) undelivered: bool,
    pub(crate) event: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) since_ms: Option<i64>,
}

impl Source {
    /// The gateway, where it answers. Says in one line when it does not.
    pub(crate) async fn open(context: &mut Context) -> Result<Self, Error> {
        let target = Target::find(None, context)?;
        let answer: Result<Listing<WebhookRow>, _> = target.client.get("/v1/webhooks?limit=1").await;
        match target.or_local(answer, context)? {
            Some(_) => Ok(Self::Gateway(target.client)),
            None => Local::open(context).map(Self::Local),
        }
    }

    /// A gateway that has to answer, for what only it can do.
    pub(crate) fn of_gateway(context: &mut Context) -> Result<(Self, Client), Error> {
        let client = Target::find(None, context)?.client;
        Ok((Self::Gateway(client.clone()), client))
    }

    /// The gateway does not answer at the moment.
    pub(crate) async fn is_away(&self) -> bool {
        match self {
            Self::Gateway(client) => matches!(
                client.status().await,
                Err(ClientError::NothingAnswers(_) | ClientError::Unreachable { .. })
            ),
            Self::Local(_) => false,
        }
    }

    /// Every webhook in the order of the document, inbound ones first.
    pub(crate) async fn webhooks(&self) -> Result<Vec<WebhookRow>, Error> {
        let mut rows = match self {
            Self::Gateway(client) => webhooks(client).await?,
            Self::Local(local) => local.webhooks().await?,
        };
        rows.sort_by(|a, b| (a.direction, a.place, &a.name).cmp(&(b.direction, b.place, &b.name)));
        Ok(rows)
    }

    /// One webhook; `None`: there is none of this name on this side.
    pub(crate) async fn webhook(&self, direction: Direction, name: &Name) -> Result<Option<WebhookDetail>, Error> {
        match self {
            Self::Gateway(client) => found(client.get(&format!("/v1/webhooks/{}/{name}", direction.as_str())).await),
            Self::Local(local) => local.webhook(direction, name).await,
        }
    }

    /// A webhook's log, newest first.
    pub(crate) async fn logs(
        &self,
        direction: Direction,
        name: &Name,
        wanted: &LogsWanted,
        limit: usize,
    ) -> Result<Vec<LogEntry>, Error> {
        let side = match direction {
            Direction::Inbound => "route",
            Direction::Outbound => "sender",
        };
        gather(limit, async |page| match self {
            Self::Gateway(client) => {
                let query = query(&[
                    (side, Some(name.to_string())),
                    ("failed", wanted.failed.then(|| "true".to_owned())),
                    ("status", wanted.status.map(|status| status.to_string())),
                    ("since", wanted.since_ms.map(time::exact)),
                    ("limit", Some(page.limit.to_string())),
                    ("cursor", page.cursor),
                ]);
                Ok(client.get(&format!("/v1/logs{query}")).await?)
            }
            Self::Local(local) => {
                let Some(store) = &local.store else {
                    return Ok(Listing::default());
                };
                let sender = match direction {
                    Direction::Inbound => None,
                    Direction::Outbound => match local.key(name).await? {
                        Some(key) => Some(key),
                        // The document has it, no gateway ran it yet.
                        None => return Ok(Listing::default()),
                    },
                };
                let query = LogQuery {
                    sender,
                    route: (direction == Direction::Inbound).then(|| name.to_string()),
                    failed: wanted.failed,
                    status: wanted.status,
                    since_ms: wanted.since_ms,
                    page,
                };
                store.logs(query).await.map_err(local::failed)
            }
        })
        .await
    }

    /// Events, newest first.
    pub(crate) async fn events(&self, wanted: &EventsWanted, limit: usize) -> Result<Vec<EventRow>, Error> {
        gather(limit, async |page| match self {
            Self::Gateway(client) => {
                let query = query(&[
                    ("undelivered", wanted.undelivered.then(|| "true".to_owned())),
                    ("event", wanted.event.clone()),
                    ("source", wanted.source.clone()),
                    ("since", wanted.since_ms.map(time::exact)),
                    ("limit", Some(page.limit.to_string())),
                    ("cursor", page.cursor),
                ]);
                Ok(client.get(&format!("/v1/events{query}")).await?)
            }
            Self::Local(local) => {
                let query = EventQuery {
                    undelivered: wanted.undelivered,
                    name: wanted.event.clone(),
                    source: wanted.source.clone(),
                    since_ms: wanted.since_ms,
                    page,
                };
                match &local.store {
                    Some(store) => store.events(query).await.map_err(local::failed),
                    None => Ok(Listing::default()),
                }
            }
        })
        .await
    }

    /// One event's story; `None`: there is no such event.
    pub(crate) async fn story(&self, id: &str) -> Result<Option<Story>, Error> {
        match self {
            Self::Gateway(client) => {
                let id: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
                found(client.get(&format!("/v1/events/{id}")).await)
            }
            Self::Local(local) => match &local.store {
                Some(store) => store.story(id).await.map_err(local::failed),
                None => Ok(None),
            },
        }
    }

    /// Dead letters, newest first.
    pub(crate) async fn dead(
        &self,
        sender: Option<&Name>,
        since_ms: Option<i64>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, Error> {
        gather(limit, async |page| match self {
            Self::Gateway(client) => {
                let query = query(&[
                    ("sender", sender.map(Name::to_string)),
                    ("since", since_ms.map(time::exact)),
                    ("limit", Some(page.limit.to_string())),
                    ("cursor", page.cursor),
                ]);
                Ok(client.get(&format!("/v1/dead{query}")).await?)
            }
            Self::Local(local) => {
                let key = match sender {
                    Some(name) => match local.key(name).await? {
                        Some(key) => Some(key),
                        None => return Ok(Listing::default()),
                    },
                    None => None,
                };
                let query = DeadQuery {
                    sender: key,
                    since_ms,
                    page,
                    ..DeadQuery::default()
                };
                match &local.store {
                    Some(store) => store.dead(query).await.map_err(local::failed),
                    None => Ok(Listing::default()),
                }
            }
        })
        .await
    }
}

impl Local {
    fn open(context: &Context) -> Result<Self, Error> {
        let file = context.surroundings.read(context.global.config.as_deref())?;
        let loaded = document::load(&file);
        let diagnostics = loaded.rows();
        let desired = loaded.desired.ok_or_else(|| local::broken(&diagnostics))?;
        let store = match document::store_path(&file) {
            Some(path) => local::open_at(&path)?,
            None => None,
        };
        Ok(Self {
            desired,
            store,
            clock: context.clock.clone(),
        })
    }

    async fn key(&self, name: &Name) -> Result<Option<SenderKey>, Error> {
        let Some(store) = &self.store else { return Ok(None) };
        let senders = store.senders().await.map_err(local::failed)?;
        Ok(senders
            .into_iter()
            .find(|sender| sender.name == *name && sender.removed_ms.is_none())
            .map(|sender| sender.key))
    }

    async fn webhooks(&self) -> Result<Vec<WebhookRow>, Error> {
        let mut rows: Vec<_> = self
            .desired
            .resources
            .iter()
            .filter_map(|(address, resource)| WebhookRow::of(address, resource))
            .collect();
        let Some(store) = &self.store else { return Ok(rows) };
        for sender in store.senders().await.map_err(local::failed)? {
            let suspended = sender.suspended.filter(|_| sender.removed_ms.is_none());
            let row = rows
                .iter_mut()
                .find(|row| row.direction == Direction::Outbound && row.name == sender.name.as_str());
            if let (Some(row), Some(reason)) = (row, suspended) {
                (row.state, row.reason) = (WebhookState::Suspended, Some(reason));
            }
        }
        Ok(rows)
    }

    async fn webhook(&self, direction: Direction, name: &Name) -> Result<Option<WebhookDetail>, Error> {
        let address = match direction {
            Direction::Inbound => Address::Inbound(name.clone()),
            Direction::Outbound => Address::Outbound(name.clone()),
        };
        let row = self.desired.resources.get(&address);
        let Some(webhook) = row.and_then(|resource| WebhookRow::of(&address, resource)) else {
            return Ok(None);
        };
        let mut detail = WebhookDetail {
            webhook,
            conditions: Vec::new(),
            route: None,
            counters: None,
            sender: None,
            live: None,
        };
        let Some(store) = &self.store else {
            return Ok(Some(detail));
        };
        if direction == Direction::Inbound {
            let midnight = clock::last_midnight(self.clock.now()).as_millisecond();
            let figures = store.route_figures(name.as_str(), midnight).await;
            detail.route = Some(figures.map_err(local::failed)?);
            return Ok(Some(detail));
        }
        let senders = store.senders().await.map_err(local::failed)?;
        let known = senders.into_iter().find(|s| s.name == *name && s.removed_ms.is_none());
        if let Some(sender) = known {
            let figures = store.sender_figures(sender.key).await.map_err(local::failed)?;
            if let Some(reason) = sender.suspended {
                (detail.webhook.state, detail.webhook.reason) = (WebhookState::Suspended, Some(reason));
            } else if figures.last_five_failed && detail.webhook.state == WebhookState::Active {
                let reason = Some("its last attempts failed".to_owned());
                (detail.webhook.state, detail.webhook.reason) = (WebhookState::Failing, reason);
            }
            detail.sender = Some(figures);
        }
        Ok(Some(detail))
    }
}

async fn webhooks(client: &Client) -> Result<Vec<WebhookRow>, Error> {
    gather(usize::MAX, async |page| {
        let query = query(&[("limit", Some(page.limit.to_string())), ("cursor", page.cursor)]);
        Ok(client.get(&format!("/v1/webhooks{query}")).await?)
    })
    .await
}

/// Pages until there are enough rows, or no more.
async fn gather<T>(
    limit: usize,
    mut page: impl AsyncFnMut(Page) -> Result<Listing<T>, Error>,
) -> Result<Vec<T>, Error> {
    let mut items = Vec::new();
    let mut cursor = None;
    while items.len() < limit {
        let wanted = (limit - items.len()).min(PAGE);
        let listing = page(Page { limit: wanted, cursor }).await?;
        items.extend(listing.items);
        cursor = listing.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(items)
}

/// What a request found; 404 is an answer.
fn found<T>(answer: Result<T, ClientError>) -> Result<Option<T>, Error> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(ClientError::Problem(problem)) if problem.status == 404 => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `?a=b&c=d` of those that have a value.
fn query(pairs: &[(&str, Option<String>)]) -> String {
    let mut text = form_urlencoded::Serializer::for_suffix("?".to_owned(), 1);
    for (name, value) in pairs {
        if let Some(value) = value {
            text.append_pair(name, value);
        }
    }
    text.finish()
}
