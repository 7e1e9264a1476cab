//! What is wrong with a document, where, and the way out.

mod code;
mod render;
mod shown;

use std::fmt;

use super::{Address, Problem};

pub use code::Code;
pub use render::{github, json, sarif, summary, text};
pub(super) use shown::Shower;
pub use shown::ShownLine;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The document is refused.
    Error,
    /// The document is taken; `--deny-warnings` refuses it.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The word that is printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One finding. Holds no literal of a sensitive field: neither in its message nor in its shown line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which rule.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// The document's path, as it was given.
    pub file: std::sync::Arc<str>,
    /// The field: `webhooks.outbound.event-logger.events[2]`; empty: the document as a whole.
    pub path: String,
    /// From 1; 0: the document as a whole.
    pub line: u32,
    /// From 1, in characters; 0: the document as a whole.
    pub column: u32,
    /// Bytes of the text (after a byte order mark).
    pub span: std::ops::Range<u32>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// How to mend it, most helpful first.
    pub hints: Vec<String>,
    /// The line, masked.
    pub shown: Option<ShownLine>,
}

impl Diagnostic {
    /// A reference that does not resolve where it was looked at.
    #[must_use]
    pub fn unresolved(file: &str, address: &Address, problem: &Problem) -> Self {
        Self {
            code: Code::Unresolved,
            severity: Code::Unresolved.severity(),
            file: file.into(),
            path: format!("{address}.{}", problem.field),
            line: 0,
            column: 0,
            span: 0..0,
            message: problem.message.clone(),
            hints: Vec::new(),
            shown: None,
        }
    }

    /// Whether it makes the document unusable.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    /// One line: `openclaw.yaml:14:9: webhooks.outbound.a.events[2]: unknown event "mesage.sent"; did you mean …?`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, " {}:", self.path)?;
        }
        write!(f, " {}", self.message)?;
        if let Some(hint) = self.hints.first() {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

/// What is wrong with a value, before it is known where the value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) hints: Vec<String>,
}

impl Fault {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds `did you mean` where something is near enough.
    pub(super) fn nearest<'a>(self, wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(wrong, known) {
            Some(right) => self.hint(format!("did you mean `{right}`?")),
            None => self,
        }
    }
}

/// The known word that `wrong` is most probably a typing mistake of.
#[must_use]
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if wrong.len() > 64 {
        return None;
    }
    let lower = wrong.to_lowercase();
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&lower, &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= 1 + word.chars().count().min(lower.chars().count()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// User text inside a message: short, without control characters.
pub(super) fn plain(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .take(80)
        .collect();
    if text.chars().count() > 80 {
        format!("{clean}…")
    } else {
        clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_unique_and_explained() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{} twice", code.as_str());
            assert!(
                code.explanation().len() > 40 && !code.title().ends_with('.'),
                "{}",
                code.as_str()
            );
            assert_eq!(Code::parse(&code.as_str().to_lowercase()), Some(*code));
        }
        assert_eq!(Code::parse("OC100"), None);
    }

    #[test]
    fn the_nearest_word_is_near() {
        assert_eq!(nearest("retires", ["retries", "timeout"]), Some("retries"));
        assert_eq!(nearest("publickey", ["publicKey"]), Some("publicKey"));
        assert_eq!(nearest("colour", ["retries", "timeout"]), None);
        assert_eq!(nearest("", ["a"]), Some("a"));
    }
}
