//! A plan in a file: what `plan --out` writes, `show` renders and `apply PLAN` carries out. It holds neither the document
//! nor a secret.

use serde::{Deserialize, Serialize};

use super::render::PlanDocument;

/// The newest format that this release reads.
const FORMAT: u32 = 1;

/// Plans of more bytes than this are not read: 256 MiB.
pub const MAX_BYTES: usize = 256 << 20;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File<P> {
    openclaw_plan: u32,
    plan: P,
}

/// Why a file is no saved plan that this release can use.
#[derive(Debug, thiserror::Error)]
pub enum SavedPlanError {
    /// Something else is in it.
    #[error("this is no plan that `openclaw plan --out` wrote: {0}")]
    NotAPlan(String),
    /// A newer release wrote it.
    #[error("this plan has format {found}, this release reads {FORMAT}: plan again, or use the release that wrote it")]
    Newer {
        /// The format found.
        found: u32,
    },
    /// It is too large to be one.
    #[error("this file has {found} bytes, a plan has at most {MAX_BYTES}")]
    TooLarge {
        /// Its size.
        found: usize,
    },
}

/// The bytes of a saved plan.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "it cannot: see the expect")]
pub fn write(plan: &PlanDocument) -> Vec<u8> {
    let file = File {
        openclaw_plan: FORMAT,
        plan,
    };
    let mut bytes = serde_json::to_vec_pretty(&file).expect("a plan has text keys and no failing parts");
    bytes.push(b'\n');
    bytes
}

/// Reads a saved plan.
///
/// # Errors
/// The bytes are something else, or a newer release's.
pub fn read(bytes: &[u8]) -> Result<PlanDocument, SavedPlanError> {
    if bytes.len() > MAX_BYTES {
        return Err(SavedPlanError::TooLarge { found: bytes.len() });
    }
    // The format first: a newer plan need not parse as one of ours.
    let wrong = |error: serde_json::Error| SavedPlanError::NotAPlan(error.to_string());
    let file: File<serde::de::IgnoredAny> = serde_json::from_slice(bytes).map_err(wrong)?;
    if file.openclaw_plan > FORMAT {
        return Err(SavedPlanError::Newer {
            found: file.openclaw_plan,
        });
    }
    let file: File<PlanDocument> = serde_json::from_slice(bytes).map_err(wrong)?;
    Ok(file.plan)
}

/// What is true now, where a saved plan is about to be carried out.
#[derive(Debug, Clone, Default)]
pub struct Now {
    /// The gateway's generation; `None`: nothing was ever applied.
    pub generation: Option<u64>,
    /// The SHA-256 of the document of that generation in hex.
    pub sha256: Option<String>,
    /// How it came there, in a few words: `file, 2 minutes ago`, `apply by mia`.
    pub moved_by: Option<String>,
    /// The SHA-256 of the document that the plan was made for, as it is now; `None`: it is gone.
    pub document_sha256: Option<String>,
}

/// What moved since a plan was made, a line each; empty: the plan still holds.
#[must_use]
pub fn moved(plan: &PlanDocument, now: &Now) -> Vec<String> {
    let mut lines = Vec::new();
    let name = |generation: Option<u64>| match generation {
        Some(number) => format!("generation {number}"),
        None => "an empty gateway".to_owned(),
    };
    let by = now.moved_by.as_ref().map_or(String::new(), |by| format!(" ({by})"));
    if now.generation != plan.base.generation {
        let (then, now) = (name(plan.base.generation), name(now.generation));
        lines.push(format!("the plan was made against {then}, the gateway runs {now}{by}"));
    } else if now.sha256 != plan.base.sha256 {
        let number = name(now.generation);
        lines.push(format!(
            "{number} is another document than the one that the plan was made against{by}"
        ));
    }
    let path = &plan.document.path;
    match &now.document_sha256 {
        None => lines.push(format!("{path} is gone")),
        Some(sha256) if *sha256 != plan.document.sha256 => lines.push(format!(
            "{path} changed since the plan was made: its sha256 was {}, now it is {}",
            short(&plan.document.sha256),
            short(sha256)
        )),
        Some(_) => {}
    }
    lines
}

/// The first 12 digits of a hash.
pub(crate) fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::render::tests::sample;

    #[test]
    fn a_saved_plan_reads_back() {
        let plan = sample();
        assert_eq!(read(&write(&plan)).unwrap(), plan);
    }

    #[test]
    fn other_files_are_refused_with_their_reason() {
        assert!(matches!(read(b"webhooks: {}"), Err(SavedPlanError::NotAPlan(_))));
        assert!(matches!(read(b"{}"), Err(SavedPlanError::NotAPlan(_))));
        assert!(matches!(
            read(br#"{"openclawPlan":1,"plan":{}}"#),
            Err(SavedPlanError::NotAPlan(_))
        ));
        let newer = read(br#"{"openclawPlan":2,"plan":["something else"]}"#).unwrap_err();
        assert_eq!(
            newer.to_string(),
            "this plan has format 2, this release reads 1: plan again, or use the release that wrote it"
        );
    }

    #[test]
    fn a_stale_plan_says_what_moved() {
        let plan = sample();
        let now = Now {
            generation: plan.base.generation,
            sha256: plan.base.sha256.clone(),
            moved_by: None,
            document_sha256: Some(plan.document.sha256.clone()),
        };
        assert!(moved(&plan, &now).is_empty());
        let generation = Now {
            generation: Some(8),
            moved_by: Some("apply by mia".into()),
            ..now.clone()
        };
        assert_eq!(
            moved(&plan, &generation),
            ["the plan was made against generation 6, the gateway runs generation 8 (apply by mia)"]
        );
        let document = Now {
            document_sha256: Some("ff".repeat(32)),
            ..now.clone()
        };
        assert_eq!(
            moved(&plan, &document),
            ["openclaw.yaml changed since the plan was made: its sha256 was bbbbbbbbbbbb, now it is ffffffffffff"]
        );
        let other = Now {
            sha256: Some("cc".repeat(32)),
            ..now.clone()
        };
        assert_eq!(
            moved(&plan, &other),
            ["generation 6 is another document than the one that the plan was made against"]
        );
        assert_eq!(
            moved(
                &plan,
                &Now {
                    document_sha256: None,
                    ..now
                }
            ),
            ["openclaw.yaml is gone"]
        );
    }
}
