//! What the commands that edit have in common: which webhook of the document is meant.

use super::Side;
use super::flags::{FieldFlags, Fields};
use crate::admin::wire::Direction;
use crate::cli::{Context, Error};
use crate::document::diagnostic::nearest;
use crate::document::{Address, Desired, Resource};
use crate::event::Name;

/// A name that may be given to a webhook.
pub(super) fn name(text: &str) -> Result<Name, Error> {
    Name::parse(text).map_err(|error| Error::new(format!("`{text}` is no name for a webhook: {error}")))
}

/// The address of a name on one side.
pub(super) fn address(direction: Direction, name: Name) -> Address {
    match direction {
        Direction::Inbound => Address::Inbound(name),
        Direction::Outbound => Address::Outbound(name),
    }
}

/// The webhook of the document that is meant.
pub(super) fn find<'d>(desired: &'d Desired, text: &str, side: Side) -> Result<(Address, &'d Resource), Error> {
    let mut found = Vec::new();
    if let Ok(name) = Name::parse(text) {
        for direction in [Direction::Inbound, Direction::Outbound] {
            let address = address(direction, name.clone());
            if let (Some(resource), true) = (
                desired.resources.get(&address),
                side.direction().is_none_or(|side| side == direction),
            ) {
                found.push((address, resource));
            }
        }
    }
    match (found.pop(), found.pop()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(
            Error::new(format!("`{text}` is the name of an inbound and of an outbound webhook"))
                .hint("add --inbound or --outbound"),
        ),
        (None, _) => {
            let names = desired.resources.keys().filter_map(|address| match address {
                Address::Inbound(name) | Address::Outbound(name) => Some(name.as_str()),
                _ => None,
            });
            let error = Error::new(format!("the document has no webhook `{text}`"));
            Err(match nearest(text, names) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("`openclaw webhooks list` shows all"),
            })
        }
    }
}

/// The side's key in the document.
pub(super) fn side(address: &Address) -> &'static str {
    match address {
        Address::Inbound(_) => "inbound",
        _ => "outbound",
    }
}

/// Says which secrets are now written in the document as they are.
pub(super) fn warn<F: Fields>(flags: &FieldFlags<F>, context: &mut Context) {
    for field in flags.literals() {
        let line =
            format!("warning: the value of `{field}` is now in the document: env:NAME or file:PATH keeps it out");
        context.terminal.note(&line);
    }
}
