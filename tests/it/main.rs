//! Promises, each in a module of its own, held by the real binary.
#![allow(missing_docs)]

mod bad_documents;
mod documents_on_disk;
mod harness;
mod kill_loses_nothing;
mod load;
mod plan_and_apply;
mod prepare_fails;
mod python_verifies;
mod reload_loses_nothing;
mod retries;
mod tidy;
mod tour;
mod vectors;
