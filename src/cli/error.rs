//! Why a command did not do what it was asked to.

use std::path::Path;

use serde_json::json;

use crate::admin::client::ClientError;
use crate::admin::wire::Problem;

/// Says what, where, and in `hints` the ways out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Whoever read our output has gone: that is success.
    #[error("the reader of the output has gone")]
    BrokenPipe,
    /// Anything else.
    #[error("{message}")]
    Failed {
        /// One sentence, lower case, and further lines under it where there are several findings.
        message: String,
        /// The ways out.
        hints: Vec<String>,
        /// What the gateway said, for `--json`.
        problem: Option<Box<Problem>>,
    },
}

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Failed {
            message: message.into(),
            hints: Vec::new(),
            problem: None,
        }
    }

    /// A file that could not be read or written: `verb` is `read` or `write`.
    pub(crate) fn file(verb: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::new(format!("cannot {verb} {}: {error}", path.display()))
    }

    /// Adds a way out.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Failed { hints, .. } = &mut self {
            hints.push(hint.into());
        }
        self
    }

    /// The error as `--json` prints it.
    pub(crate) fn json(&self) -> serde_json::Value {
        match self {
            Self::BrokenPipe => json!({"error": {"message": self.to_string()}}),
            Self::Failed {
                message,
                hints,
                problem,
            } => {
                json!({"error": {"message": message, "hints": hints, "problem": problem}})
            }
        }
    }
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::NothingAnswers(_) => {
                Self::new(message).hint("start the gateway with `openclaw run`, or name it with --gateway")
            }
            ClientError::Unauthorized { given: false, .. } => {
                Self::new(message).hint("set OPENCLAW_ADMIN_TOKEN to the document's `admin.token`")
            }
            ClientError::Timeout { .. } => Self::new(message).hint("`openclaw status` tells how far the gateway is"),
            ClientError::Unauthorized { .. } | ClientError::Unreachable { .. } | ClientError::Foreign { .. } => {
                Self::new(message)
            }
            ClientError::Problem(problem) => {
                let mut lines = vec![message];
                lines.extend(problem.reasons.iter().map(|reason| format!("  {reason}")));
                lines.extend(
                    problem
                        .diagnostics
                        .iter()
                        .map(|d| format!("  {}[{}]: {d}", d.severity, d.code)),
                );
                let mut hints = problem.hints.clone();
                if hints.is_empty() && problem.kind == Problem::STALE {
                    hints.push("look at `openclaw history`, then plan again".to_owned());
                }
                if hints.is_empty() && problem.kind == Problem::HELD {
                    hints.push("`openclaw apply --allow-deletes` carries it out".to_owned());
                }
                Self::Failed {
                    message: lines.join("\n"),
                    hints,
                    problem: Some(problem),
                }
            }
        }
    }
}
