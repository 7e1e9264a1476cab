//! docs/reference.md is made of the code: the table of fields, the platforms, the conditions, the diagnostics.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use openclaw::document::fields::{NOT_IN_DEFAULTS, SECTIONS, nested, walk};
use openclaw::document::platforms::{self, Keys, SPECIAL_FIELDS};
use openclaw::document::value::duration_text;
use openclaw::document::{Code, Field, Form, Kind, Section};
use openclaw::reconcile::condition::{reasons, types};

use super::{at, read};

const PATH: &str = "docs/reference.md";

const HEAD: &str = "\
# Reference

Every field of `openclaw.yaml`, every diagnostic, every condition. This page is made from the code: a test compares it, and
`UPDATE_DOCS=1 cargo test --test it reference` writes it anew.

* Everything is under the top-level key `webhooks`: `webhooks.server.listen`, `webhooks.inbound.NAME.secret`. An unknown field is
  an error. Names of webhooks are `[a-z0-9][a-z0-9._-]{0,62}`.
* A *duration* is a whole number of milliseconds, or numbers with the units `ms`, `s`, `m`, `h`, `d`: `5s`, `1m30s`, `7d`.
* `${NAME}` and `${NAME:-default}` may stand in every text, number, boolean and duration, except where it says *no references*.
* A *secret* is a text, `${NAME}`, `{ env: NAME }`, `{ file: path }` or `{ source: env|file|exec, provider: …, id: … }`; a list of
  these is a rotation. Fields marked *sensitive* are never printed: plans show `(sensitive value)`, references in clear.
* Relative paths are from the document's directory. Files that a field names are watched.
* A change of a field takes effect in place, except where it says *A change replaces*.
";

fn reference() -> String {
    let mut out = HEAD.to_owned();
    for section in &SECTIONS {
        let heading = match section.name {
            "inbound" | "outbound" => format!("{}.NAME", section.name),
            name => name.to_owned(),
        };
        let _ = write!(out, "\n## webhooks.{heading}\n\n{}\n", prose(section.help));
        if matches!(section.name, "inbound" | "outbound") {
            let named = NOT_IN_DEFAULTS.map(|name| format!("`{name}`")).join(", ");
            let _ = write!(
                out,
                "\n`webhooks.defaults.{}` takes the same fields for every webhook that does not say otherwise, all but {named}.\n",
                section.name
            );
        }
        out.push_str("\n| field | type | default | example | what it is |\n|---|---|---|---|---|\n");
        for (path, field) in walk(section.fields) {
            row(&mut out, &path, field, is_carried_out(section, &path));
        }
    }
    by_platform(&mut out);
    conditions(&mut out);
    diagnostics(&mut out);
    out
}

/// Whether this version carries a field out; what lies inside of one that it does not carry out, it does not either.
fn is_carried_out(section: &'static Section, path: &str) -> bool {
    let mut fields = section.fields;
    path.split('.').all(|name| {
        let field = fields.iter().find(|field| field.name == name).unwrap();
        fields = nested(&field.kind).unwrap_or_default();
        field.is_supported()
    })
}

fn row(out: &mut String, path: &str, field: &'static Field, carried_out: bool) {
    let default = field.default.map(code).unwrap_or_default();
    let mut about = prose(field.help);
    for (marked, word) in [
        (field.sensitive, "*Sensitive.*"),
        (field.forces_replace, "*A change replaces.*"),
        (!carried_out, "*Not in this version yet.*"),
    ] {
        if marked {
            about.push(' ');
            about.push_str(word);
        }
    }
    let (kind, example) = (kind(&field.kind), code(field.example));
    let _ = writeln!(out, "| `{path}` | {kind} | {default} | {example} | {about} |");
}

/// A code span in a cell of a table.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

/// A sentence in a cell of a table: what is no code is no markup either.
fn prose(text: &str) -> String {
    let escape = |(at, part): (usize, &str)| {
        if at % 2 == 0 {
            part.replace('<', "&lt;").replace('*', "\\*").replace('|', "\\|")
        } else {
            part.replace('|', "\\|")
        }
    };
    text.split('`').enumerate().map(escape).collect::<Vec<_>>().join("`")
}

fn words(list: &[&str]) -> String {
    list.iter().map(|word| code(word)).collect::<Vec<_>>().join(", ")
}

/// `1048576` is `1,048,576`.
fn digits(number: i64) -> String {
    let plain = number.to_string();
    let mut out = String::new();
    for (at, digit) in plain.chars().enumerate() {
        if at > 0 && (plain.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn kind(kind: &'static Kind) -> String {
    match kind {
        Kind::Bool => "boolean".to_owned(),
        Kind::Integer { min, max: i64::MAX } => format!("whole number, from {}", digits(*min)),
        Kind::Integer { min, max } => format!("whole number, {} to {}", digits(*min), digits(*max)),
        Kind::Decimal { min, max } => format!("number, {min} to {max}"),
        Kind::Duration { min, max } => format!("duration, {} to {}", duration_text(*min), duration_text(*max)),
        Kind::Text => "text".to_owned(),
        Kind::Form(form) => self::form(*form),
        Kind::Choice { now, later: [] } => words(now),
        Kind::Choice { now, later } => format!("{}; not in this version yet: {}", words(now), words(later)),
        Kind::Secret => "secret, or a list".to_owned(),
        Kind::List(inner) => format!("list: {}", self::kind(inner)),
        Kind::Set(inner) => format!("list without order: {}", self::kind(inner)),
        Kind::Headers => "headers: names to texts or secrets".to_owned(),
        Kind::Labels => "names to texts".to_owned(),
        Kind::Object(_) => "map".to_owned(),
        Kind::ObjectOrFalse(_) => "map, or `false`".to_owned(),
        Kind::Jwks => "`{ keys: […] }`, `{ file: path }` or `{ url: … }`".to_owned(),
        Kind::NotYet(inner) => self::kind(inner),
    }
}

fn form(form: Form) -> String {
    let text = match form {
        Form::Url => "http or https URL",
        Form::BaseUrl => "http or https URL without a query",
        Form::Listen => "`ADDRESS:PORT` or `unix:PATH`",
        Form::File => "path of a file that is read",
        Form::Path => "path of a directory that is made",
        Form::RoutePath => "path of a URL: `/…`",
        Form::HeaderName => "name of a header",
        Form::RequiredHeader => "`name` or `name: value`",
        Form::Host => "name of a host",
        Form::WebhookName => "name of a webhook",
        Form::Event => "name of an event, `message.*` or `*`",
        Form::Network => "address or CIDR",
        Form::NetworkOrHost => "address, CIDR or host",
        Form::Rate => "`COUNT/s`, `/m`, `/h`, `/d`",
        Form::StatusCode => "status: `503`, `5xx`, `520-530`",
        Form::Percent => "`30%`",
        Form::Platform => "name of a platform",
        Form::SignatureTemplate => "text with `{body}`",
        Form::Filter => "[filter](formats.md)",
        Form::Template => "[template](formats.md)",
    };
    if form.allows_references() {
        text.to_owned()
    } else {
        format!("{text}, no references")
    }
}

fn by_platform(out: &mut String) {
    out.push_str(
        "\n## Which fields fit which platform\n\nEvery other field of `inbound` fits all of them. [platforms.md](platforms.md) says how each is set up.\n\n\
         | platform | verified with | may also have | what an attacker can do |\n|---|---|---|---|\n",
    );
    for platform in platforms::all() {
        let names: Vec<&str> = std::iter::once(platform.name)
            .chain(platform.aliases.iter().copied())
            .collect();
        let list = |fields: &[&str], word: &str| fields.iter().map(|f| code(f)).collect::<Vec<_>>().join(word);
        let keys = match platform.keys {
            Keys::All(fields) => list(fields, " and "),
            Keys::Any(fields) => list(fields, " or "),
        };
        let others: Vec<&str> = SPECIAL_FIELDS
            .into_iter()
            .filter(|field| platform.fits(field) && !platform.keys.fields().contains(field))
            .collect();
        let weak = platform.weak.map_or(String::new(), |weakness| {
            format!("{} ({})", prose(weakness.attack), weakness.code.as_str())
        });
        let _ = writeln!(out, "| {} | {keys} | {} | {weak} |", words(&names), words(&others));
    }
}

fn conditions(out: &mut String) {
    out.push_str(
        "\n## Conditions\n\n`/v1/status` and `/v1/webhooks/…` say how things are in conditions, in the form of Kubernetes: type, status, reason, \
         message, since, observedGeneration. Types and reasons are closed lists.\n",
    );
    for (title, list) in [("type", types::ALL), ("reason", reasons::ALL)] {
        let _ = write!(out, "\n| {title} | |\n|---|---|\n");
        for (word, meaning) in list {
            let _ = writeln!(out, "| `{word}` | {} |", prose(meaning.trim()));
        }
    }
}

fn diagnostics(out: &mut String) {
    out.push_str(
        "\n## Diagnostics\n\n`openclaw validate` prints them, `openclaw explain CODE` explains one. An error refuses the document, a warning does not \
         (with `--deny-warnings` it does), a note is worth knowing. A code is never given a second meaning.\n\n\
         | code | | what | what it means, and the way out |\n|---|---|---|---|\n",
    );
    for code in Code::ALL {
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            code.as_str(),
            code.severity().as_str(),
            prose(code.title()),
            prose(code.explanation())
        );
    }
}

#[test]
fn the_reference_is_what_the_code_says() {
    let made = reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(at(PATH), &made).unwrap();
    }
    let found = std::fs::read_to_string(at(PATH)).unwrap_or_default();
    assert!(
        found == made,
        "{PATH} differs from the code: run the tests with UPDATE_DOCS=1"
    );
}

/// Every path of keys below a value, with dots: `signature.header`.
fn keys(value: &serde_yaml::Value, prefix: &str, found: &mut BTreeSet<String>) {
    let Some(map) = value.as_mapping() else { return };
    for (name, inner) in map {
        let path = format!("{prefix}{}", name.as_str().unwrap_or_default());
        keys(inner, &format!("{path}."), found);
        found.insert(path);
    }
}

#[test]
fn the_example_of_everything_has_every_field() {
    let mut everything: serde_yaml::Value = serde_yaml::from_str(&read("examples/everything.yaml")).unwrap();
    everything.apply_merge().unwrap();
    let mut missing = Vec::new();
    for section in &SECTIONS {
        let mut found = BTreeSet::new();
        let written = &everything["webhooks"][section.name];
        if matches!(section.name, "inbound" | "outbound") {
            for webhook in written.as_mapping().unwrap().values() {
                keys(webhook, "", &mut found);
            }
        } else {
            keys(written, "", &mut found);
        }
        missing.extend(
            walk(section.fields)
                .filter(|(path, _)| is_carried_out(section, path) && !found.contains(path))
                .map(|(path, _)| format!("{}.{path}", section.name)),
        );
    }
    assert_eq!(missing, Vec::<String>::new(), "examples/everything.yaml lacks them");
}

#[test]
fn the_example_of_everything_has_every_platform() {
    let text = read("examples/everything.yaml");
    let loaded = openclaw::document::load(&openclaw::document::Source {
        path: "everything.yaml",
        format: openclaw::document::Format::Yaml,
        text: text.as_bytes(),
    });
    let found: BTreeSet<String> = loaded
        .desired
        .unwrap()
        .resources
        .values()
        .filter_map(|resource| Some(resource.effective("platform")?.as_text()?.to_owned()))
        .collect();
    let all: BTreeSet<String> = platforms::all().map(|platform| platform.name.to_owned()).collect();
    assert_eq!(found, all);
}
