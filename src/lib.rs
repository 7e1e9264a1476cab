//! One document in, signed deliveries out: the webhook gateway of an OpenClaw assistant. ARCHITECTURE.md has the map.
#![forbid(unsafe_code)]

pub mod admin; // the API
pub mod cli; // the commands
pub mod clock; // time as a parameter
pub mod document; // openclaw.yaml -> what must exist
pub mod event; // what happened
pub mod plan; // what must exist against what runs -> what is to be done
pub mod secret; // the redacted value
pub mod store; // what outlives the process
