//! A plan for people and programs. All three forms are made of one [`PlanDocument`], so that a plan that came over the
//! wire or out of a file looks as it did where it was made.

mod impact; // lines of text and Markdown
pub mod json;
pub mod markdown;
pub mod text;

pub use json::{Base, ChangeRow, DiagnosticRow, DocumentRow, Drift, FieldRow, PlanDocument, Tool};

#[cfg(test)]
pub(crate) mod tests;
