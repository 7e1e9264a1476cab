//! `server`, `admin`, `store`, `reconcile`, `egress`.

use std::path::Path;

use super::super::desired::Resource;
use super::super::form;
use super::super::reference::{Lookup, Problem, Reason};
use super::super::settings::{Admin, Egress, Listen, ReconcileSettings, Server, ServerTls, StoreSettings};
use super::super::value::Value;
use super::Reader;

/// `webhooks.server`.
pub fn resolve_server(resource: &Resource, lookup: &dyn Lookup) -> Result<Server, Vec<Problem>> {
    let mut reader = Reader::new(resource, lookup);
    let listen = reader.listen();
    let tls = reader.server_tls();
    let max_body_bytes = reader.number("maxBodyBytes");
    let max_connections = reader.number("maxConnections");
    let trusted_proxies = reader.networks("trustedProxies");
    let shutdown_timeout = reader.duration("shutdownTimeout");
    let _ = reader.text("publicUrl"); // used by the routes; checked here
    let server = (|| {
        Some(Server {
            listen: listen?,
            tls,
            max_body_bytes: max_body_bytes?,
            max_connections: max_connections?,
            trusted_proxies: trusted_proxies?,
            shutdown_timeout: shutdown_timeout?,
        })
    })();
    reader.finish(server)
}

/// `webhooks.admin`.
pub fn resolve_admin(resource: &Resource, lookup: &dyn Lookup) -> Result<Admin, Vec<Problem>> {
    let mut reader = Reader::new(resource, lookup);
    let listen = reader.listen();
    let tokens = reader.secrets("token");
    let tls = reader.server_tls();
    let allowed_hosts = reader.list("allowedHosts", |host| Some(host.to_owned()));
    // The document's check cannot see through a reference.
    if listen.as_ref().is_some_and(|listen| !listen.is_local()) && resource.get("token").is_none() {
        reader.problem(
            "token",
            Reason::Invalid,
            "`listen` can be reached from other machines and there is no `token`",
        );
    }
    let admin = (|| {
        Some(Admin {
            listen: listen?,
            tokens,
            tls,
            allowed_hosts: allowed_hosts?,
        })
    })();
    reader.finish(admin)
}

/// `webhooks.store`.
pub fn resolve_store(resource: &Resource, lookup: &dyn Lookup) -> Result<StoreSettings, Vec<Problem>> {
    let mut reader = Reader::new(resource, lookup);
    let _ = reader.value("engine");
    let path = reader.text("path").map(|path| in_directory(lookup.directory(), &path));
    let retention = reader.duration("retention");
    let dead_retention = reader.duration("deadRetention");
    let max_bytes = reader.number("maxBytes");
    let store = (|| {
        Some(StoreSettings {
            path: path?,
            retention: retention?,
            dead_retention: dead_retention?,
            max_bytes: max_bytes?,
        })
    })();
    reader.finish(store)
}

/// `webhooks.reconcile`.
pub fn resolve_reconcile(resource: &Resource, lookup: &dyn Lookup) -> Result<ReconcileSettings, Vec<Problem>> {
    let mut reader = Reader::new(resource, lookup);
    let manual = reader.text("mode").map(|mode| mode == "manual");
    let debounce = reader.duration("debounce");
    let max_delete_percent = reader.text("maxDelete").as_deref().and_then(form::parse_percent);
    let settings = (|| {
        Some(ReconcileSettings {
            manual: manual?,
            debounce: debounce?,
            max_delete_percent: max_delete_percent?,
        })
    })();
    reader.finish(settings)
}

/// `webhooks.egress`.
pub fn resolve_egress(resource: &Resource, lookup: &dyn Lookup) -> Result<Egress, Vec<Problem>> {
    let mut reader = Reader::new(resource, lookup);
    let allow = reader.list("allow", |text| Some(text.to_owned()));
    let max_in_flight = reader.number("maxInFlight");
    let max_per_origin = reader.number("maxPerOrigin");
    let egress = (|| {
        let (mut allow_networks, mut allow_hosts) = (Vec::new(), Vec::new());
        for text in allow? {
            match form::parse_network(&text) {
                Some(network) => allow_networks.push(network),
                None => allow_hosts.push(text),
            }
        }
        Some(Egress {
            allow_networks,
            allow_hosts,
            max_in_flight: max_in_flight?,
            max_per_origin: max_per_origin?,
        })
    })();
    reader.finish(egress)
}

/// A relative path is from the document's directory.
fn in_directory(directory: &Path, path: &str) -> std::path::PathBuf {
    let path = Path::new(path);
    directory.join(path.strip_prefix("./").unwrap_or(path))
}

impl Reader<'_> {
    fn listen(&mut self) -> Option<Listen> {
        let text = self.text("listen")?;
        match form::parse_listen(&text)? {
            form::Address::Tcp(address) => Some(Listen::Tcp(address)),
            form::Address::Unix(path) => Some(Listen::Unix(in_directory(self.lookup.directory(), path))),
        }
    }

    fn server_tls(&mut self) -> Option<ServerTls> {
        if !matches!(self.resource.get("tls"), Some(Value::Map(_))) {
            return None;
        }
        self.pem_pair("cert", "key").map(|(cert, key)| ServerTls { cert, key })
    }
}
