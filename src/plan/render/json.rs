//! The plan as data: what the API answers, `--format json` prints, `--out` keeps. `schema/plan.schema.json` describes it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::document::{Diagnostic, Severity};
use crate::plan::impact::Impact;
use crate::plan::{Action, Change, FieldChange, Held, Plan, Summary};

/// The form's version: members may be added within 1.x.
pub const FORMAT_VERSION: &str = "1.0";

/// A plan with all that is needed to show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanDocument {
    /// [`FORMAT_VERSION`].
    pub format_version: String,
    /// What made it.
    pub tool: Tool,
    /// What it was made against.
    pub base: Base,
    /// What it was made for.
    pub document: DocumentRow,
    /// The changes, in the order of the plan.
    pub changes: Vec<ChangeRow>,
    /// How many of each kind.
    pub summary: Summary,
    /// Where what runs is not what was applied.
    #[serde(default)]
    pub drift: Vec<Drift>,
    /// Why it waits for `openclaw apply --allow-deletes`, where it does.
    #[serde(default)]
    pub held: Option<Held>,
    /// References that were not read where the plan was made.
    #[serde(default)]
    pub not_checked: Vec<String>,
    /// Warnings, and what *prepare* found.
    #[serde(default)]
    pub diagnostics: Vec<DiagnosticRow>,
    /// What it would have meant for stored events, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact: Option<Impact>,
}

/// What made a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// `openclaw`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// What a plan was made against.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The generation; `None`: nothing was ever applied.
    pub generation: Option<u64>,
    /// The SHA-256 of its document in hex.
    pub sha256: Option<String>,
}

/// What a plan was made for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DocumentRow {
    /// Its path, as the caller wrote it.
    pub path: String,
    /// The SHA-256 of its bytes in hex.
    pub sha256: String,
    /// The git commit that it is from, where it was given.
    #[serde(default)]
    pub git_commit: Option<String>,
}

/// One resource's difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeRow {
    /// `webhooks.outbound.event-logger`.
    pub address: String,
    /// `["update"]`; a replace is `["delete","create"]`.
    #[serde(rename = "actions", with = "actions")]
    pub action: Action,
    /// Why, where it is not plain.
    #[serde(default)]
    pub reason: Option<String>,
    /// Field by field.
    pub fields: Vec<FieldRow>,
    /// Deliveries at stake, for a sender that is deleted.
    #[serde(default)]
    pub undelivered: Option<u64>,
}

/// One field's difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldRow {
    /// `events`, `signature.header`.
    pub path: String,
    /// What runs; null: absent. Durations are text, sensitive literals `***`.
    pub before: Option<Json>,
    /// What is wanted; null: absent.
    pub after: Option<Json>,
    /// A secret's field, or one that is not shown in full.
    pub sensitive: bool,
    /// This field is why the resource is replaced.
    pub forces_replace: bool,
}

/// Something that runs otherwise than it was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// Which resource.
    pub address: String,
    /// A condition's reason: `ListenFailed`, `SecretMissing`.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

/// A diagnostic of the document, as data: the members that `validate --format json` prints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosticRow {
    /// `OC102`.
    pub code: String,
    /// `error`, `warning` or `note`.
    pub severity: String,
    /// The document's path; empty: no file's.
    pub file: String,
    /// The field; empty: the document as a whole.
    pub path: String,
    /// From 1; 0: the document as a whole.
    pub line: u32,
    /// In characters, from 1; 0: the document as a whole.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    #[serde(default)]
    pub hints: Vec<String>,
    /// The line, masked.
    #[serde(default)]
    pub shown: Option<String>,
}

impl From<&Diagnostic> for DiagnosticRow {
    fn from(found: &Diagnostic) -> Self {
        Self {
            code: found.code.as_str().to_owned(),
            severity: found.severity.as_str().to_owned(),
            file: found.file.to_string(),
            path: found.path.clone(),
            line: found.line,
            column: found.column,
            message: found.message.clone(),
            hints: found.hints.clone(),
            shown: found.shown.as_ref().map(|line| line.text.clone()),
        }
    }
}

impl fmt::Display for DiagnosticRow {
    /// `openclaw.yaml:14:9: webhooks.outbound.a.events[2]: unknown event "mesage.sent"`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.is_empty(), self.line) {
            (true, _) => {}
            (false, 0) => write!(f, "{}: ", self.file)?,
            (false, line) => write!(f, "{}:{line}:{}: ", self.file, self.column)?,
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl PlanDocument {
    /// A plan's data. What only the caller knows (drift, held, not checked, diagnostics) is empty and its to fill in.
    #[must_use]
    pub fn new(plan: &Plan, base: Base, document: DocumentRow) -> Self {
        Self {
            format_version: FORMAT_VERSION.to_owned(),
            tool: Tool {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            base,
            document,
            changes: plan.changes.iter().map(ChangeRow::from).collect(),
            summary: plan.summary(),
            drift: Vec::new(),
            held: None,
            not_checked: Vec::new(),
            diagnostics: Vec::new(),
            impact: None,
        }
    }

    /// The same with what is wrong with its document, or may be; notes are `validate`'s alone.
    #[must_use]
    pub fn with_diagnostics(mut self, found: &[Diagnostic]) -> Self {
        let told = found.iter().filter(|found| found.severity != Severity::Note);
        self.diagnostics = told.map(DiagnosticRow::from).collect();
        self
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The document that it was compared with, where that was no generation: its SHA-256.
    pub(super) fn other_document(&self) -> Option<&str> {
        self.base.sha256.as_deref().filter(|_| self.base.generation.is_none())
    }

    /// What an empty plan says.
    pub(super) fn sameness(&self) -> &'static str {
        match self.other_document() {
            Some(_) => "The two documents mean the same.",
            None => "The gateway matches the document.",
        }
    }
}

impl From<&Change> for ChangeRow {
    fn from(change: &Change) -> Self {
        Self {
            address: change.address.to_string(),
            action: change.action,
            reason: change.reason.clone(),
            fields: change.fields.iter().map(FieldRow::from).collect(),
            undelivered: change.undelivered,
        }
    }
}

impl From<&FieldChange> for FieldRow {
    fn from(field: &FieldChange) -> Self {
        Self {
            path: field.path.clone(),
            before: field.before.as_ref().map(crate::document::Value::to_json),
            after: field.after.as_ref().map(crate::document::Value::to_json),
            sensitive: field.sensitive,
            forces_replace: field.forces_replace,
        }
    }
}

/// The plan as indented JSON, with a final newline.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "it cannot: see the expect")]
pub fn render(plan: &PlanDocument) -> String {
    let mut text = serde_json::to_string_pretty(plan).expect("a plan has text keys and no failing parts");
    text.push('\n');
    text
}

/// An action as Terraform's plans write it: a list.
mod actions {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use crate::plan::Action;

    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
    pub(super) fn serialize<S: Serializer>(action: &Action, to: S) -> Result<S::Ok, S::Error> {
        let words: &[&str] = match action {
            Action::Delete => &["delete"],
            Action::Replace => &["delete", "create"],
            Action::Update => &["update"],
            Action::Create => &["create"],
        };
        words.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Action, D::Error> {
        let words = Vec::<String>::deserialize(from)?;
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["delete"] => Ok(Action::Delete),
            ["delete", "create"] => Ok(Action::Replace),
            ["update"] => Ok(Action::Update),
            ["create"] => Ok(Action::Create),
            other => Err(D::Error::custom(format!("unknown actions {other:?}"))),
        }
    }
}
