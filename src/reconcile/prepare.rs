//! All that can fail, before anything changes: secrets, certificates, addresses, clients, keys of platforms.
//!
//! [`Prepared`] holds what is ready to run. Dropping it leaves no trace: a bound listener that never listened is closed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::document::settings::{Admin, Egress, Format, Listen, OnDelete, Server, ServerTls};
use crate::document::{self, Address, Desired, Lookup, Resource, Value};
use crate::event::{EventPattern, Name};
use crate::inbound::{PreparedRoute, RouteChange, Routes};
use crate::listener::{Bound, Tls};
use crate::outbound::{Dispatcher, PreparedSender};
use crate::store::{self, Subscription};

use super::condition::reasons;
use super::{LONGEST_DRAIN, Problem};

/// What is asked of `prepare`: which resources, and how hard.
pub(super) struct Request<'a> {
    pub(super) desired: &'a Desired,
    /// Resources to make or to update.
    pub(super) put: BTreeSet<Address>,
    /// Resources to take away, with what they meant.
    pub(super) remove: Vec<(Address, &'a Resource)>,
    pub(super) lookup: &'a dyn Lookup,
    /// Of those to put: routes and senders that are degraded by themselves where they cannot be prepared. One of the others
    /// fails the whole reconcile.
    pub(super) lenient: BTreeSet<Address>,
    /// Where the listeners stand now: the same address is not bound again.
    pub(super) public: Option<Standing>,
    pub(super) admin: Option<Standing>,
}

/// A listener that stands: the address that the document asked for, and the one that it has (port 0 became a real one).
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) asked: Listen,
    pub(super) real: Listen,
}

/// A sender's part of a reconcile.
pub(super) enum SenderPart {
    Put {
        name: Name,
        previous: Option<Name>,
        subscription: Subscription,
        /// Where it cannot be prepared it is degraded: at a start, or because it is so already. Of one that is, the entry is
        /// as it was, and what suspended it holds.
        lenient: bool,
        sender: Result<Box<PreparedSender>, Problem>,
    },
    Remove {
        name: Name,
        on_delete: OnDelete,
        drain_timeout: Duration,
    },
}

impl SenderPart {
    /// What the store has to know of it; `changed`: its entry is not what was applied before.
    pub(super) fn to_store(&self, changed: bool) -> store::SenderChange {
        match self {
            Self::Put {
                name,
                previous,
                subscription,
                ..
            } => store::SenderChange::Put {
                name: name.clone(),
                previous: previous.clone(),
                subscription: subscription.clone(),
                changed,
            },
            Self::Remove { name, .. } => store::SenderChange::Remove { name: name.clone() },
        }
    }
}

/// A listener's part of a reconcile.
pub(super) struct ListenerPart<S> {
    pub(super) settings: S,
    /// A new address, bound and not yet listening.
    pub(super) bound: Option<Bound>,
    /// For an address that stays: the certificate from now on.
    pub(super) tls: Option<Tls>,
}

/// Everything that a reconcile changes, ready to run.
#[derive(Default)]
pub(super) struct Prepared {
    pub(super) routes: Vec<RouteChange>,
    pub(super) senders: Vec<SenderPart>,
    pub(super) public: Option<ListenerPart<Server>>,
    pub(super) admin: Option<ListenerPart<Admin>>,
    pub(super) egress: Option<Egress>,
    /// Resources that are degraded from now on.
    pub(super) degraded: BTreeMap<Address, Problem>,
    /// Resources that are prepared now: whatever degraded them before is over.
    pub(super) mended: Vec<Address>,
}

/// Prepares what is asked, or lists every reason why it cannot be done.
pub(super) fn prepare(
    request: &Request<'_>,
    routes: &Routes,
    dispatcher: &Dispatcher,
) -> Result<Prepared, Vec<Problem>> {
    let mut prepared = Prepared::default();
    let mut problems = Vec::new();
    let egress = match document::resolve_egress(request.resource(&Address::Egress), request.lookup) {
        Ok(egress) => egress,
        Err(found) => return Err(Problem::all(&Address::Egress, found)),
    };
    for address in &request.put {
        let resource = request.resource(address);
        let result = match address {
            Address::Inbound(name) => {
                route(name, resource, request, routes).map(|route| prepared.routes.push(RouteChange::Put(route)))
            }
            Address::Outbound(name) => {
                sender(name, resource, &egress, request, dispatcher).map(|sender| prepared.senders.push(sender))
            }
            Address::Server => server(resource, request).map(|part| prepared.public = Some(part)),
            Address::Admin => admin(resource, request).map(|part| prepared.admin = Some(part)),
            Address::Egress => {
                prepared.egress = Some(egress.clone());
                Ok(())
            }
            Address::Store => document::resolve_store(resource, request.lookup)
                .map(drop)
                .map_err(|p| Problem::all(address, p)),
            Address::Reconcile => document::resolve_reconcile(resource, request.lookup)
                .map(drop)
                .map_err(|p| Problem::all(address, p)),
        };
        match result {
            Ok(()) => prepared.mended.push(address.clone()),
            Err(found) if request.lenient.contains(address) => {
                if let Some(first) = found.into_iter().next() {
                    prepared.degrade(address, resource, first);
                }
            }
            Err(found) => problems.extend(found),
        }
    }
    for (address, resource) in &request.remove {
        match address {
            Address::Inbound(name) => prepared.routes.push(RouteChange::Remove(name.clone())),
            Address::Outbound(name) => prepared.senders.push(removal(name, resource)),
            _ => {}
        }
    }
    problems.extend(taken_paths(&prepared.routes, request, routes));
    if problems.is_empty() {
        Ok(prepared)
    } else {
        Err(problems)
    }
}

/// Two routes whose paths are the same once their references are filled in: the document's check sees texts alone.
fn taken_paths(changes: &[RouteChange], request: &Request<'_>, routes: &Routes) -> Vec<Problem> {
    let leaves = |name: &Name| {
        let address = Address::Inbound(name.clone());
        request.put.contains(&address) || !request.desired.resources.contains_key(&address)
    };
    let mut taken: BTreeMap<&str, &Name> = BTreeMap::new();
    let mut problems = Vec::new();
    for route in changes.iter().filter_map(RouteChange::put) {
        let standing = routes
            .answers(route.path())
            .filter(|name| name != route.name() && !leaves(name));
        let other = taken.insert(route.path(), route.name()).cloned().or(standing);
        if let Some(other) = other {
            let message = format!("path: webhooks.inbound.{other} has {} already", route.path());
            problems.push(Problem::new(
                &Address::Inbound(route.name().clone()),
                reasons::PREPARE_FAILED,
                message,
            ));
        }
    }
    problems
}

impl Request<'_> {
    fn resource(&self, address: &Address) -> &Resource {
        self.desired
            .resources
            .get(address)
            .expect("a planned address is in the desired document")
    }
}

impl Prepared {
    /// The resource is there, and says why it does nothing.
    fn degrade(&mut self, address: &Address, resource: &Resource, problem: Problem) {
        match address {
            Address::Inbound(name) => {
                let path = resource
                    .effective("path")
                    .and_then(|v| v.as_text().map(str::to_owned))
                    .unwrap_or_default();
                let reason = problem.to_string();
                self.routes.push(RouteChange::Degraded {
                    name: name.clone(),
                    path,
                    reason,
                });
            }
            Address::Outbound(name) => self.senders.push(SenderPart::Put {
                name: name.clone(),
                previous: previous_name(resource),
                subscription: subscription(resource),
                lenient: true,
                sender: Err(problem.clone()),
            }),
            _ => {}
        }
        self.degraded.insert(address.clone(), problem);
    }
}

fn route(
    name: &Name,
    resource: &Resource,
    request: &Request<'_>,
    routes: &Routes,
) -> Result<PreparedRoute, Vec<Problem>> {
    let address = || Address::Inbound(name.clone());
    let settings =
        document::resolve_inbound(name, resource, request.lookup).map_err(|p| Problem::all(&address(), p))?;
    let route = routes
        .prepare(settings)
        .map_err(|e| vec![Problem::new(&address(), reasons::PREPARE_FAILED, e.to_string())])?;
    Ok(match previous_name(resource) {
        Some(previous) => route.renamed_from(previous),
        None => route,
    })
}

fn sender(
    name: &Name,
    resource: &Resource,
    egress: &Egress,
    request: &Request<'_>,
    dispatcher: &Dispatcher,
) -> Result<SenderPart, Vec<Problem>> {
    let address = || Address::Outbound(name.clone());
    let settings =
        document::resolve_outbound(name, resource, request.lookup).map_err(|p| Problem::all(&address(), p))?;
    let subscription = Subscription {
        events: settings.events.clone(),
        from: settings.from.clone(),
        per_request: settings.format == Format::Forward,
    };
    let sender = dispatcher
        .prepare(settings, egress)
        .map_err(|e| vec![Problem::new(&address(), reasons::PREPARE_FAILED, e.to_string())])?;
    let previous = previous_name(resource);
    Ok(SenderPart::Put {
        name: name.clone(),
        previous,
        subscription,
        lenient: request.lenient.contains(&address()),
        sender: Ok(Box::new(sender)),
    })
}

fn server(resource: &Resource, request: &Request<'_>) -> Result<ListenerPart<Server>, Vec<Problem>> {
    let settings = document::resolve_server(resource, request.lookup).map_err(|p| Problem::all(&Address::Server, p))?;
    let (bound, tls) = listener(
        &Address::Server,
        &settings.listen,
        settings.tls.as_ref(),
        request.public.as_ref(),
    )?;
    Ok(ListenerPart { settings, bound, tls })
}

fn admin(resource: &Resource, request: &Request<'_>) -> Result<ListenerPart<Admin>, Vec<Problem>> {
    let settings = document::resolve_admin(resource, request.lookup).map_err(|p| Problem::all(&Address::Admin, p))?;
    let (bound, tls) = listener(
        &Address::Admin,
        &settings.listen,
        settings.tls.as_ref(),
        request.admin.as_ref(),
    )?;
    Ok(ListenerPart { settings, bound, tls })
}

/// A new address is bound; for the one that stands only the certificate is made ready.
fn listener(
    address: &Address,
    listen: &Listen,
    tls: Option<&ServerTls>,
    standing: Option<&Standing>,
) -> Result<(Option<Bound>, Option<Tls>), Vec<Problem>> {
    let failed = |e: String| vec![Problem::new(address, reasons::PREPARE_FAILED, e)];
    let tls = tls
        .map(|tls| Tls::prepare(&tls.cert, &tls.key))
        .transpose()
        .map_err(|e| failed(e.to_string()))?;
    match standing {
        Some(standing) if standing.asked == *listen => Ok((None, tls)),
        Some(standing) => Bound::bind(listen, tls, std::slice::from_ref(&standing.real))
            .map(|bound| (Some(bound), None))
            .map_err(|e| failed(e.to_string())),
        None => Bound::bind_first(listen, tls)
            .map(|bound| (Some(bound), None))
            .map_err(|e| failed(e.to_string())),
    }
}

fn removal(name: &Name, resource: &Resource) -> SenderPart {
    let discard = resource
        .effective("onDelete")
        .is_some_and(|v| v.as_text() == Some("discard"));
    let drain_timeout = match resource.effective("drainTimeout") {
        Some(Value::Duration(ms)) => Duration::from_millis(ms).min(LONGEST_DRAIN),
        _ => LONGEST_DRAIN,
    };
    let on_delete = if discard { OnDelete::Discard } else { OnDelete::Drain };
    SenderPart::Remove {
        name: name.clone(),
        on_delete,
        drain_timeout,
    }
}

fn previous_name(resource: &Resource) -> Option<Name> {
    resource
        .effective("previousName")?
        .as_text()
        .and_then(|text| Name::parse(text).ok())
}

/// What a sender that cannot be prepared subscribes to all the same: its backlog grows until it can.
fn subscription(resource: &Resource) -> Subscription {
    let texts = |field| match resource.effective(field) {
        Some(Value::List(items)) => Some(
            items
                .iter()
                .filter_map(|item| item.as_text().map(str::to_owned))
                .collect::<Vec<_>>(),
        ),
        _ => None,
    };
    Subscription {
        events: texts("events")
            .unwrap_or_default()
            .iter()
            .filter_map(|text| EventPattern::parse(text))
            .collect(),
        from: texts("from").map(|names| names.iter().filter_map(|name| Name::parse(name).ok()).collect()),
        per_request: resource.get("format").and_then(Value::as_text) == Some("forward"),
    }
}
