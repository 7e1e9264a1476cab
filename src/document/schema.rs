//! The table of fields as JSON Schema (draft 2020-12), for editors and pull requests: `openclaw schema`, and
//! schema/openclaw.schema.json.
//!
//! The schema says what can be said of one field at a time; what fields have to do with each other is `check`'s.

use serde_json::{Map, Value as Json, json};

use super::Format;
use super::fields::{Field, Form, Kind, NOT_IN_DEFAULTS, SECTIONS, Section, section};
use super::platforms;
use super::text;
use crate::event::KNOWN_EVENTS;

/// A text that holds a reference.
const REFERENCE: &str = r"\$\{[A-Z_][A-Z0-9_]*(:-[^}]*)?\}";
const NAME: &str = "^[a-z0-9][a-z0-9._-]{0,62}$";

/// The schema.
#[must_use]
pub fn schema() -> Json {
    let mut webhooks = Map::new();
    for part in &SECTIONS {
        let schema = match part.name {
            "inbound" | "outbound" => json!({
                "description": part.help,
                "type": "object",
                "propertyNames": { "pattern": NAME },
                "additionalProperties": { "$ref": format!("#/$defs/{}", part.name) },
            }),
            _ => object(part.fields, part.help, &[]),
        };
        webhooks.insert(part.name.to_owned(), schema);
    }
    let side = |name: &str| {
        object(
            known(name).fields,
            "Defaults of every webhook of this side.",
            &NOT_IN_DEFAULTS,
        )
    };
    let defaults = json!({
        "description": "Values for every webhook that does not say otherwise; a webhook's own value replaces a default as a whole.",
        "type": "object",
        "properties": { "inbound": side("inbound"), "outbound": side("outbound") },
        "additionalProperties": false,
    });
    webhooks.insert("defaults".to_owned(), defaults);

    let inbound = object(known("inbound").fields, "An inbound webhook.", &[]);
    let mut outbound = object(known("outbound").fields, "An outbound webhook.", &[]);
    outbound["required"] = json!(["url"]);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://openclaw.example/schema/openclaw.schema.json",
        "title": "openclaw.yaml",
        "description": "The webhooks of an OpenClaw assistant. Top-level keys other than `webhooks` belong to other parts of OpenClaw.",
        "type": "object",
        "required": ["webhooks"],
        "properties": {
            "$schema": { "type": "string" },
            "webhooks": {
                "description": "Everything of the webhook gateway.",
                "type": "object",
                "properties": webhooks,
                "additionalProperties": false,
            },
        },
        "$defs": {
            "reference": { "description": "A text with a reference: ${NAME} or ${NAME:-default}.", "type": "string", "pattern": REFERENCE },
            "duration": {
                "description": "Milliseconds, or numbers with the units ms, s, m, h, d.",
                "anyOf": [
                    { "type": "integer", "minimum": 0 },
                    { "type": "string", "pattern": "^([0-9]+|([0-9]+(ms|s|m|h|d))+)$" },
                    { "$ref": "#/$defs/reference" },
                ],
            },
            "oneSecret": {
                "anyOf": [
                    { "type": "string", "pattern": "\\S" },
                    {
                        "type": "object",
                        "properties": { "env": { "type": "string", "pattern": "^[A-Z_][A-Z0-9_]*$" } },
                        "required": ["env"],
                        "additionalProperties": false,
                    },
                    {
                        "type": "object",
                        "properties": { "file": { "type": "string", "minLength": 1 } },
                        "required": ["file"],
                        "additionalProperties": false,
                    },
                    {
                        "type": "object",
                        "properties": {
                            "source": { "enum": ["env", "file", "exec"] },
                            "provider": { "type": "string", "minLength": 1 },
                            "id": { "type": "string", "minLength": 1 },
                        },
                        "required": ["source", "id"],
                        "additionalProperties": false,
                    },
                ],
            },
            "secret": {
                "anyOf": [
                    { "$ref": "#/$defs/oneSecret" },
                    { "type": "array", "items": { "$ref": "#/$defs/oneSecret" }, "minItems": 1 },
                ],
            },
            "inbound": inbound,
            "outbound": outbound,
        },
    })
}

/// The schema as the committed file has it.
#[must_use]
pub fn schema_text() -> String {
    format!("{:#}\n", schema())
}

fn known(name: &str) -> &'static Section {
    section(name).expect("a name of the table")
}

fn object(fields: &'static [Field], help: &str, without: &[&str]) -> Json {
    let properties: Map<String, Json> = (fields.iter())
        .filter(|field| field.is_supported() && !without.contains(&field.name))
        .map(|field| (field.name.to_owned(), property(field)))
        .collect();
    json!({
        "description": help,
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

fn property(field: &'static Field) -> Json {
    let mut schema = of_kind(&field.kind);
    // A description beside `$ref` is allowed since draft 2019-09.
    let members = schema.as_object_mut().expect("every kind is an object");
    members.insert("description".to_owned(), json!(field.help));
    if let Some(default) = field.default {
        members.insert("default".to_owned(), as_json(default));
    }
    members.insert("examples".to_owned(), json!([as_json(field.example)]));
    schema
}

/// A value of the table as JSON.
fn as_json(yaml: &str) -> Json {
    text::read(yaml, Format::Yaml)
        .root
        .map_or(Json::Null, |root| root.to_json())
}

/// The schema itself, or a text with a reference.
fn or_reference(schema: &Json) -> Json {
    json!({ "anyOf": [schema, { "$ref": "#/$defs/reference" }] })
}

fn of_kind(kind: &'static Kind) -> Json {
    match kind {
        Kind::Bool => or_reference(&json!({ "type": "boolean" })),
        Kind::Integer { min, max } => {
            let mut integer = json!({ "type": "integer", "minimum": min });
            if *max < i64::MAX {
                integer["maximum"] = json!(max);
            }
            or_reference(&integer)
        }
        Kind::Decimal { min, max } => or_reference(&json!({ "type": "number", "minimum": min, "maximum": max })),
        Kind::Duration { .. } => json!({ "$ref": "#/$defs/duration" }),
        Kind::Text => json!({ "type": "string" }),
        Kind::Form(form) => of_form(*form),
        Kind::Choice { now, .. } => or_reference(&json!({ "enum": now })),
        Kind::Secret => json!({ "$ref": "#/$defs/secret" }),
        Kind::List(item) | Kind::Set(item) => json!({ "type": "array", "items": of_kind(item) }),
        Kind::Headers => json!({
            "type": "object",
            "propertyNames": { "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" },
            "additionalProperties": { "$ref": "#/$defs/oneSecret" },
        }),
        Kind::Labels => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Object(fields) => object(fields, "", &[]),
        Kind::ObjectOrFalse(fields) => json!({ "anyOf": [{ "const": false }, object(fields, "Its fields.", &[])] }),
        Kind::Jwks => json!({
            "type": "object",
            "properties": {
                "keys": { "type": "array", "items": { "type": "object" } },
                "file": { "type": "string" },
                "url": { "type": "string" },
            },
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": false,
        }),
        Kind::NotYet(kind) => of_kind(kind),
    }
}

fn of_form(form: Form) -> Json {
    let pattern = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    match form {
        Form::Url => or_reference(&pattern("^[Hh][Tt][Tt][Pp][Ss]?://[^\\s#\\\\]+$")),
        Form::BaseUrl => or_reference(&pattern("^[Hh][Tt][Tt][Pp][Ss]?://[^\\s#?\\\\]+$")),
        Form::Listen => or_reference(&pattern(
            "^(unix:.+|localhost:[0-9]+|[0-9.]+:[0-9]+|\\[[0-9A-Fa-f:.]+\\]:[0-9]+)$",
        )),
        Form::File | Form::Path | Form::RequiredHeader | Form::Filter => pattern("\\S"),
        Form::Template => json!({ "type": "string", "maxLength": crate::expression::MAX_TEXT_BYTES }),
        Form::RoutePath => or_reference(&pattern("^/[^\\s?#]*$")),
        Form::HeaderName => or_reference(&pattern("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")),
        Form::Host => or_reference(&pattern("^[0-9A-Za-z._-]+$")),
        Form::WebhookName => pattern(NAME),
        Form::Event => json!({
            "type": "string",
            "anyOf": [
                { "enum": KNOWN_EVENTS.iter().copied().chain(["*", "message.*", "channel.*", "system.*", "error"]).collect::<Vec<_>>() },
                { "pattern": "^[a-z][a-z0-9_-]*(\\.[a-z][a-z0-9_-]*)*\\.(\\*|[a-z][a-z0-9_-]*)$" },
                { "$ref": "#/$defs/reference" },
            ],
        }),
        Form::Network => or_reference(&pattern("^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$")),
        Form::NetworkOrHost => or_reference(&pattern("^([0-9A-Fa-f:.]+(/[0-9]{1,3})?|[0-9A-Za-z._-]+)$")),
        Form::Rate => or_reference(&pattern("^[0-9]+ */ *([smhd]|([0-9]+(ms|s|m|h|d))+)$")),
        Form::StatusCode => json!({ "anyOf": [
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "string", "pattern": "^([1-5][0-9]{2}|[1-5](xx|XX)|[1-5][0-9]{2} *- *[1-5][0-9]{2})$" },
            { "$ref": "#/$defs/reference" },
        ] }),
        Form::Percent => or_reference(&pattern("^[0-9]{1,3} *%$")),
        Form::Platform => {
            let names: Vec<&str> = platforms::all()
                .flat_map(|platform| std::iter::once(platform.name).chain(platform.aliases.iter().copied()))
                .collect();
            json!({ "enum": names })
        }
        Form::SignatureTemplate => or_reference(&pattern("\\{body\\}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Source, load};

    fn committed(name: &str) -> std::path::PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
    }

    /// `UPDATE_SCHEMA=1 cargo test` writes it anew.
    #[test]
    fn the_committed_schema_is_the_tables() {
        let path = committed("schema/openclaw.schema.json");
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, schema_text()).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == schema_text(),
            "schema/openclaw.schema.json differs: run the tests with UPDATE_SCHEMA=1"
        );
    }

    #[test]
    fn the_documents_that_are_shipped_are_right_by_table_and_schema() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        let mut paths = vec![committed("openclaw.yaml")];
        paths.extend(
            std::fs::read_dir(committed("examples"))
                .unwrap()
                .map(|entry| entry.unwrap().path()),
        );
        assert!(paths.len() >= 6, "openclaw.yaml and five examples");
        for path in paths {
            let shown = path.file_name().unwrap().to_str().unwrap();
            let text = std::fs::read(&path).unwrap();
            let format = Format::of_path(&path).unwrap();
            let loaded = load(&Source {
                path: shown,
                format,
                text: &text,
            });
            let errors: Vec<_> = loaded
                .diagnostics
                .iter()
                .filter(|d| d.is_error())
                .map(ToString::to_string)
                .collect();
            assert!(errors.is_empty() && loaded.desired.is_some(), "{shown}: {errors:#?}");
            let tree = text::read(std::str::from_utf8(&text).unwrap(), format);
            let json = tree.root.unwrap().to_json();
            let wrong: Vec<String> = validator
                .iter_errors(&json)
                .map(|e| format!("{}: {e}", e.instance_path()))
                .collect();
            assert!(wrong.is_empty(), "{shown}: {wrong:#?}");
        }
    }

    #[test]
    fn the_schema_refuses_what_the_table_refuses() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        for bad in [
            json!({}),
            json!({ "webhooks": { "inbuond": {} } }),
            json!({ "webhooks": { "outbound": { "a": {} } } }),
            json!({ "webhooks": { "outbound": { "A b": { "url": "https://a.example" } } } }),
            json!({ "webhooks": { "outbound": { "a": { "url": "ftp://a.example" } } } }),
            json!({ "webhooks": { "outbound": { "a": { "url": "https://a.example", "retries": -1 } } } }),
            json!({ "webhooks": { "outbound": { "a": { "url": "https://a.example", "timeout": "5x" } } } }),
            json!({ "webhooks": { "inbound": { "a": { "platform": "icq" } } } }),
            json!({ "webhooks": { "inbound": { "a": { "secret": { "env": "lower" } } } } }),
            json!({ "webhooks": { "defaults": { "outbound": { "url": "https://a.example" } } } }),
        ] {
            assert!(!validator.is_valid(&bad), "{bad}");
        }
        let good = json!({ "webhooks": { "outbound": { "a": { "url": "https://${HOST}/x", "retries": "${N:-3}", "timeout": "1m30s", "circuitBreaker": false } } } });
        assert!(validator.is_valid(&good));
    }
}
