//! A small table of fields and builders, for the tests of this room.

use std::sync::Arc;

use crate::document::{Address, Desired, Field, Form, Kind, Resource, Value};
use crate::event::Name;
use crate::plan::Observed;

const fn row(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        default: None,
        help: "",
        example: "",
        sensitive: false,
        forces_replace: false,
    }
}

/// What lies inside of `signature`.
static SIGNATURE: [Field; 2] = [
    row("header", Kind::Text),
    Field {
        sensitive: true,
        ..row("key", Kind::Secret)
    },
];

/// In the order in which every listing shows them.
pub(crate) static TABLE: [Field; 12] = [
    row("url", Kind::Form(Form::Url)),
    row("events", Kind::List(&Kind::Text)),
    Field {
        sensitive: true,
        ..row("secret", Kind::Secret)
    },
    row("retries", Kind::Integer { min: 0, max: 100 }),
    row("retryDelay", Kind::Duration { min: 0, max: 3_600_000 }),
    Field {
        forces_replace: true,
        ..row("engine", Kind::Text)
    },
    row("headers", Kind::Headers),
    row("signature", Kind::Object(&SIGNATURE)),
    row("paused", Kind::Bool),
    row("protect", Kind::Bool),
    row("previousName", Kind::Form(Form::WebhookName)),
    row("description", Kind::Text),
];

/// The row of that name.
pub(crate) fn field(name: &str) -> &'static Field {
    TABLE
        .iter()
        .find(|field| field.name == name)
        .expect("the fixture's table has it")
}

/// A value written as JSON.
pub(crate) fn value(json: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Bool(b) => Value::Bool(b),
        Json::Number(n) => Value::Integer(n.as_i64().expect("fixtures hold whole numbers")),
        Json::String(s) => Value::text(&s),
        Json::Array(items) => Value::List(items.into_iter().map(value).collect()),
        Json::Object(members) => Value::Map(members.into_iter().map(|(n, v)| (n.into(), value(v))).collect()),
        Json::Null => panic!("a document has no null values"),
    }
}

/// A resource of a JSON object.
pub(crate) fn resource(json: serde_json::Value) -> Resource {
    let serde_json::Value::Object(mut members) = json else {
        panic!("a resource is an object")
    };
    let fields = TABLE
        .iter()
        .filter_map(|field| members.remove(field.name).map(|json| (field, value(json))))
        .collect();
    assert!(members.is_empty(), "not in the fixture's table: {members:?}");
    Resource::new(fields)
}

/// `out.a` -> `webhooks.outbound.a`; `in.a` -> `webhooks.inbound.a`; `store` -> `webhooks.store`.
pub(crate) fn address(short: &str) -> Address {
    let name = |name| Name::parse(name).expect("the fixture's name is right");
    match short.split_once('.') {
        Some(("out", n)) => Address::Outbound(name(n)),
        Some(("in", n)) => Address::Inbound(name(n)),
        _ => Address::parse(&format!("webhooks.{short}")).expect("the fixture's address is right"),
    }
}

/// `{"out.a": {...}, "store": {...}}` as a document.
pub(crate) fn desired(json: serde_json::Value) -> Desired {
    let serde_json::Value::Object(members) = json else {
        panic!("a document is an object")
    };
    let resources = members
        .into_iter()
        .map(|(short, json)| (address(&short), resource(json)))
        .collect();
    Desired {
        resources,
        ..Desired::default()
    }
}

/// A gateway that runs this document as generation 6.
pub(crate) fn observed(desired: Desired) -> Observed {
    Observed {
        generation: Some(6),
        sha256: Some("aa".repeat(32)),
        desired: Arc::new(desired),
        ..Observed::default()
    }
}
