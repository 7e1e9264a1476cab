//! What must hold of any bytes that are read as a document. Shared by the fuzz targets and the test that replays their inputs.

use openclaw::document::edit::{self, Change, Edit};
use openclaw::document::{Address, Desired, Diagnostic, Format, Loaded, Source, Value, diagnostic, load};

fn loaded(text: &[u8], format: Format) -> Loaded {
    let path = "openclaw.yaml";
    load(&Source { path, format, text })
}

/// It is read, or refused with diagnostics that can be shown; what is read can be edited, and then means just that.
pub fn read(text: &[u8], format: Format) {
    let found = loaded(text, format);
    let refused = found.diagnostics.iter().any(Diagnostic::is_error);
    assert_eq!(
        found.desired.is_none(),
        refused,
        "an error and a meaning exclude each other"
    );
    let _ = diagnostic::text(&found.diagnostics, true);
    let _ = diagnostic::github(&found.diagnostics);
    let _ = diagnostic::json(&found.diagnostics);
    let _ = diagnostic::sarif(&found.diagnostics);
    let Some(desired) = found.desired else { return };
    let webhooks = desired
        .resources
        .keys()
        .filter(|address| matches!(address, Address::Inbound(_) | Address::Outbound(_)));
    for address in webhooks.take(2) {
        describe(text, format, &desired, address);
    }
}

/// Gives a webhook another description; an edit that cannot be made without touching something else is refused.
fn describe(text: &[u8], format: Format, before: &Desired, address: &Address) {
    let note = "# edited: \"yes\"";
    let edit = Edit {
        address: address.clone(),
        change: Change::Fields(vec![(vec!["description".to_owned()], Some(Value::text(note)))]),
    };
    let source = Source {
        path: "openclaw.yaml",
        format,
        text,
    };
    let Ok(edited) = edit::apply(&source, &edit) else {
        return;
    };
    let after = loaded(edited.text.as_bytes(), format).desired;
    let after = after.expect("an edited document is a document");
    for (name, resource) in &after.resources {
        if name == address {
            assert_eq!(resource.get("description").and_then(Value::as_text), Some(note));
        } else {
            assert_eq!(before.resources.get(name), Some(resource), "{name} was touched");
        }
    }
    assert_eq!(before.resources.len(), after.resources.len());
}
