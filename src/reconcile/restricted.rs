//! What a document of somebody else may look at when it is only planned: no more than what runs names already. Otherwise
//! whoever may ask for a plan could have any file of the gateway's machine read, and any program run.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value as Json;

use crate::document::{self, Address, Desired, Lookup, Target};
use crate::environment::Environment;
use crate::secret::Secret;

/// The machine, less what the applied document does not name.
pub(super) struct Restricted {
    environment: Environment,
    allowed: BTreeSet<Target>,
}

impl Restricted {
    pub(super) fn to(applied: &Desired, environment: Environment) -> Self {
        let allowed = applied
            .resources
            .values()
            .flat_map(|resource| document::references(resource, &environment))
            .map(|reference| reference.target)
            .collect();
        Self { environment, allowed }
    }

    /// The references of a document that are not looked at, by the resources that name them.
    pub(super) fn unseen(&self, desired: &Desired) -> Vec<(Address, String)> {
        let mut unseen = Vec::new();
        for (address, resource) in &desired.resources {
            for reference in document::references(resource, &self.environment) {
                if !self.allowed.contains(&reference.target) {
                    let what = match &reference.target {
                        Target::Env(name) => format!("{{env: {name}}}"),
                        Target::File(path) => format!("{{file: {path}}}"),
                        Target::Exec { provider, id } => format!("{{source: exec, provider: {provider}, id: {id}}}"),
                    };
                    unseen.push((address.clone(), format!("{address} {}: {what}", reference.field)));
                }
            }
        }
        unseen
    }
}

impl Lookup for Restricted {
    fn env(&self, name: &str) -> Option<Secret> {
        self.allowed
            .contains(&Target::Env(name.to_owned()))
            .then(|| self.environment.env(name))?
    }

    fn file(&self, path: &str) -> Result<Secret, String> {
        if self.allowed.contains(&Target::File(path.to_owned())) {
            self.environment.file(path)
        } else {
            Err("not looked at: what runs does not name it".to_owned())
        }
    }

    fn exec(&self, provider: &str, definition: &Json, id: &str) -> Result<Secret, String> {
        let target = Target::Exec {
            provider: provider.to_owned(),
            id: id.to_owned(),
        };
        if self.allowed.contains(&target) {
            self.environment.exec(provider, definition, id)
        } else {
            Err("not run: what runs does not name it".to_owned())
        }
    }

    fn expect(&self, targets: &BTreeSet<Target>) {
        self.environment.expect(&(&self.allowed & targets));
    }

    fn provider(&self, name: &str) -> Option<&Json> {
        self.environment.provider(name)
    }

    fn directory(&self) -> &Path {
        self.environment.directory()
    }
}
