//! Which gateway a command speaks to.

use std::path::Path;

use super::{Context, Error, document, surroundings::DocumentFile};
use crate::admin::client::{Client, ClientError, Gateway};

/// Where a gateway listens whose document says nothing else.
const DEFAULT: &str = "http://127.0.0.1:8791";

/// A gateway to speak to.
pub(crate) struct Target {
    pub(crate) client: Client,
    /// It was named by --gateway or OPENCLAW_GATEWAY: then it has to answer.
    pub(crate) named: bool,
}

impl Target {
    /// The gateway that was named, or the one of the document that the command is about: `file`, else the usual one.
    pub(crate) fn find(file: Option<&DocumentFile>, context: &mut Context) -> Result<Self, Error> {
        let gateway = match &context.global.gateway {
            Some(text) => Gateway::parse(text).map_err(|error| Error::new(format!("--gateway {text}: {error}")))?,
            None => described(file, context),
        };
        context.terminal.detail(&format!("gateway: {gateway}"));
        let client = Client::new(gateway, context.surroundings.token.clone())?;
        Ok(Self {
            client,
            named: context.global.gateway.is_some(),
        })
    }

    /// What a request answered; `None`: nothing listens there, and document and local store may be looked into instead.
    /// Says so in one line.
    pub(crate) fn or_local<T>(
        &self,
        answer: Result<T, ClientError>,
        context: &mut Context,
    ) -> Result<Option<T>, Error> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error @ ClientError::NothingAnswers(_)) if !self.named => {
                context
                    .terminal
                    .note(&format!("{error}: reading the local store instead"));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The address in the document, a broken one's too: a gateway runs beside it all the same. That it is missing or broken is
/// the command's own to complain about.
fn described(file: Option<&DocumentFile>, context: &Context) -> Gateway {
    let usual = || context.surroundings.read(context.global.config.as_deref()).ok();
    let listen = file.cloned().or_else(usual).and_then(|file: DocumentFile| {
        let directory = file.path.parent().unwrap_or(Path::new("")).to_owned();
        Some((document::admin_listen(&file)?, directory))
    });
    let address = listen.and_then(|((listen, tls), directory)| address(&listen, tls, &directory));
    address.unwrap_or_else(|| Gateway::Http(DEFAULT.to_owned()))
}

/// The address to reach a listener at.
fn address(listen: &str, tls: bool, directory: &Path) -> Option<Gateway> {
    if let Some(path) = listen.strip_prefix("unix:") {
        return Some(Gateway::Unix(directory.join(path)));
    }
    let mut address: std::net::SocketAddr = listen.parse().ok()?;
    // Listening everywhere includes this machine.
    match address.ip() {
        std::net::IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(std::net::Ipv4Addr::LOCALHOST.into()),
        std::net::IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(std::net::Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Some(Gateway::Http(format!(
        "{}://{address}",
        if tls { "https" } else { "http" }
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_reached_at_its_own_address() {
        for (listen, tls, reached) in [
            ("127.0.0.1:8791", false, "http://127.0.0.1:8791"),
            ("0.0.0.0:9000", false, "http://127.0.0.1:9000"),
            ("[::]:9000", true, "https://[::1]:9000"),
            ("10.1.2.3:1", true, "https://10.1.2.3:1"),
            ("unix:./openclaw.sock", false, "unix:/etc/openclaw/./openclaw.sock"),
            ("unix:/run/openclaw.sock", false, "unix:/run/openclaw.sock"),
        ] {
            assert_eq!(
                address(listen, tls, Path::new("/etc/openclaw")).unwrap().to_string(),
                reached
            );
        }
        assert_eq!(address("somewhere", false, Path::new("")), None);
    }
}
