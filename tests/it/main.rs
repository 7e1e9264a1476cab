//! Promises, held to the real thing: one binary, one link.
#![allow(clippy::unwrap_used, clippy::format_collect, clippy::format_push_string)] // tests read better so

mod bad_documents;
