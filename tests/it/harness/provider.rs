//! An exec provider that answers when the test lets it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::eventually;

/// A program in a gateway's directory that gives the secret `a`.
pub struct Provider {
    dir: PathBuf,
}

impl Provider {
    pub fn new(dir: &Path) -> Self {
        let script = "#!/bin/sh\ncat > /dev/null\ncd \"$(dirname \"$0\")\" || exit\nwhile [ -e held ]; do : > asked; sleep 0.02; done\necho '{\"protocolVersion\":1,\"values\":{\"a\":\"secret\"}}'\n";
        let provider = Self { dir: dir.to_owned() };
        std::fs::write(provider.file("vault"), script).unwrap();
        std::fs::set_permissions(provider.file("vault"), std::fs::Permissions::from_mode(0o700)).unwrap();
        provider
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A document that names it, and needs its secret for the route `github`.
    pub fn document(&self, rest: &str) -> String {
        let providers = format!(
            "secrets: {{ providers: {{ vault: {{ source: exec, command: {}, timeoutMs: 60000 }} }} }}\n",
            self.file("vault").display()
        );
        let route = "  inbound:\n    github: { secret: { source: exec, provider: vault, id: a } }\n";
        format!("{providers}{}{route}{rest}", super::HEAD)
    }

    /// From now on it does not answer.
    pub fn hold(&self) {
        std::fs::write(self.file("held"), "").unwrap();
    }

    /// Waits until it is asked while it does not answer.
    #[track_caller]
    pub fn wait_until_asked(&self) {
        eventually("the provider is asked", || self.file("asked").exists().then_some(()));
    }

    /// It answers, whoever waits included.
    pub fn let_go(&self) {
        std::fs::remove_file(self.file("held")).unwrap();
        let _ = std::fs::remove_file(self.file("asked"));
    }
}
