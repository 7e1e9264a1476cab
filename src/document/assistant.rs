//! An OpenClaw assistant's own file, its `openclaw.json`: told apart from a document, read, and never written.

use super::{Format, Source, text};

/// Top-level keys of an assistant's own file.
const KEYS: [&str; 24] = [
    "agents",
    "approvals",
    "audio",
    "auth",
    "bindings",
    "broadcast",
    "browser",
    "channels",
    "commands",
    "cron",
    "discovery",
    "gateway",
    "hooks",
    "logging",
    "memory",
    "messages",
    "meta",
    "models",
    "plugins",
    "session",
    "skills",
    "talk",
    "tools",
    "wizard",
];

/// What a file with an assistant's keys is to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssistantsFile {
    /// No document: it has no `webhooks`, and must not get any.
    Plain,
    /// A document too, which the assistant refuses to start with.
    WithWebhooks,
}

/// Whether a top-level key is the assistant's.
pub(super) fn is_key(key: &str) -> bool {
    KEYS.contains(&key)
}

/// Tells an assistant's file from others; `None`: it is none.
#[must_use]
pub fn recognise(source: &Source<'_>) -> Option<AssistantsFile> {
    if source.format != Format::Json5 {
        return None;
    }
    let root = text::read(text::decode(source.text).ok()?, source.format).root?;
    let members = root.members()?;
    let has = |key: &str| members.iter().any(|entry| &*entry.key == key);
    match (members.iter().any(|entry| is_key(&entry.key)), has("webhooks")) {
        (false, _) => None,
        (true, true) => Some(AssistantsFile::WithWebhooks),
        (true, false) => Some(AssistantsFile::Plain),
    }
}

/// Reads an assistant's file (JSON5).
///
/// # Errors
/// Says in one sentence what is wrong with its text, without showing any of it.
pub fn read(text: &[u8]) -> Result<serde_json::Value, String> {
    let text = text::decode(text).map_err(|located| located.fault.message)?;
    let tree = text::read(text, Format::Json5);
    match (&tree.root, tree.faults.first()) {
        (Some(root), None) => Ok(root.to_json()),
        (_, fault) => Err(fault.map_or_else(|| "it is empty".to_owned(), |located| located.fault.message.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assistants_file_is_told_by_its_keys() {
        let recognised = |format, text: &str| {
            recognise(&Source {
                path: "openclaw.json",
                format,
                text: text.as_bytes(),
            })
        };
        let json = Format::Json5;
        assert_eq!(recognised(json, "{ channels: {} }"), Some(AssistantsFile::Plain));
        assert_eq!(
            recognised(json, "{ webhooks: {}, gateway: { port: 1 } }"),
            Some(AssistantsFile::WithWebhooks)
        );
        for other in ["{ webhooks: {} }", "{ secrets: {} }", "[]", "{", ""] {
            assert_eq!(recognised(json, other), None, "{other}");
        }
        assert_eq!(recognised(Format::Yaml, "channels: {}"), None);
    }

    #[test]
    fn it_is_read_as_json5() {
        let read = |text: &str| read(text.as_bytes());
        let file = read("{ // mine\n channels: { telegram: { webhookPort: 8787, }, }, }").unwrap();
        assert_eq!(file["channels"]["telegram"]["webhookPort"], 8787);
        assert!(read("{ channels: hunter2 }").is_err_and(|why| !why.contains("hunter2")));
    }
}
