//! The beginning of a large document, where that is enough to find its gateway by.
//!
//! A command asks the gateway of its document, and `webhooks.admin` says where that is. A reader of 100,000 webhooks takes
//! seconds to come to the end; `admin` mostly stands in the first lines.

use super::text::{self, Data};
use super::{Format, Source};

/// So many bytes are looked at, of a document that is longer than four times that.
const BYTES: usize = 64 * 1024;

/// The beginning of a text as a document of its own; `None`: the text is short, or its beginning does not have all of
/// `webhooks.admin`.
#[must_use]
pub fn head(source: &Source<'_>) -> Option<Vec<u8>> {
    if source.text.len() <= 4 * BYTES {
        return None;
    }
    let end = source.text[..BYTES].iter().rposition(|byte| *byte == b'\n')?;
    let lines = text::decode(&source.text[..end]).ok()?;
    let head = match source.format {
        Format::Yaml => lines.to_owned(),
        Format::Json5 => closed(lines)?,
    };
    let tree = text::read(&head, source.format);
    let webhooks = tree.root.as_ref().filter(|_| tree.plain)?.get("webhooks")?;
    let Data::Map(parts) = &webhooks.data else { return None };
    let admin = parts.iter().position(|part| &*part.key == "admin")?;
    // The last part may go on behind the cut.
    (admin + 1 < parts.len()).then(|| head.into_bytes())
}

/// JSON up to its last comma, with every bracket closed that is open there.
fn closed(text: &str) -> Option<String> {
    let mut open = Vec::new();
    let mut whole = None;
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'{' => open.push('}'),
            b'[' => open.push(']'),
            b'}' | b']' => {
                open.pop()?;
            }
            b',' => whole = Some((at, open.clone())),
            b'"' | b'\'' => {
                while let Some((_, inside)) = bytes.next() {
                    match inside {
                        b'\\' => {
                            bytes.next();
                        }
                        end if end == byte => break,
                        _ => {}
                    }
                }
            }
            b'/' if bytes.next_if(|(_, next)| *next == b'/').is_some() => {
                while bytes.next_if(|(_, next)| *next != b'\n').is_some() {}
            }
            b'/' if bytes.next_if(|(_, next)| *next == b'*').is_some() => {
                let mut before = b' ';
                for (_, inside) in bytes.by_ref() {
                    if before == b'*' && inside == b'/' {
                        break;
                    }
                    before = inside;
                }
            }
            _ => {}
        }
    }
    let (end, open) = whole?;
    Some(text[..end].chars().chain(open.into_iter().rev()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Address, load};

    fn listen(text: &str, format: Format) -> Option<String> {
        let source = |text| Source {
            path: "openclaw",
            format,
            text,
        };
        let head = head(&source(text.as_bytes()))?;
        assert!(head.len() <= BYTES + 16);
        let loaded = load(&source(&head));
        let desired = loaded.desired.or(loaded.sketch)?;
        let listen = desired.resources[&Address::Admin].effective("listen")?;
        Some(listen.as_text()?.to_owned())
    }

    fn yaml(admin: &str, entry: &str) -> String {
        format!("webhooks:\n{admin}  inbound:\n{}", entry.repeat(10_000))
    }

    #[test]
    fn the_gateway_of_a_large_document_is_found_in_its_first_lines() {
        let admin = "  admin: { listen: 127.0.0.1:1234 }\n";
        for entry in [
            "    github: { secret: abcdefgh, path: /webhook/in }\n",
            "    github:\n      secret: abcdefgh # \"[{\n      path: |\n        /webhook/in\n",
        ] {
            // Each is there many times: what is behind the beginning has no part in it.
            assert_eq!(
                listen(&yaml(admin, entry), Format::Yaml).as_deref(),
                Some("127.0.0.1:1234")
            );
        }
        let entry = |n| format!("\"in-{n}\": {{ 'secret': 'it\\'s, \"]', /* , [ */ \"events\": [1, 2] }}, // }}, {{\n");
        let entries: String = (0..10_000).map(entry).collect();
        let json = format!(
            "{{ \"webhooks\": {{ \"admin\": {{\"listen\": \"127.0.0.1:1234\"}}, \"inbound\": {{\n{entries}\"last\": {{}} }} }} }}"
        );
        assert_eq!(listen(&json, Format::Json5).as_deref(), Some("127.0.0.1:1234"));
    }

    #[test]
    fn where_the_beginning_does_not_have_it_all_the_whole_is_read() {
        let entry = "    github: { secret: abcdefgh, path: /webhook/in }\n";
        let comments = "    # nothing\n".repeat(100_000);
        for text in [
            yaml("", entry),                                                                    // it is not there
            format!("{}  admin: {{ listen: 127.0.0.1:1 }}\n", yaml("", entry)),                 // it stands behind
            format!("webhooks:\n  admin:\n    listen: 127.0.0.1:1\n{comments}    tls: {{}}\n"), // it goes on
            yaml("  admin: &a { listen: 127.0.0.1:1 }\n", entry), // an anchor: parts hang together
            "webhooks:\n  admin: { listen: 127.0.0.1:1 }\n  inbound: {}\n".to_owned(), // short
        ] {
            assert_eq!(listen(&text, Format::Yaml), None, "{text:.80}");
        }
    }
}
