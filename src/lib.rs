//! One document in, signed deliveries out: the webhook gateway of an OpenClaw assistant. ARCHITECTURE.md has the map.
#![forbid(unsafe_code)]

pub mod admin; // the API
pub mod cli; // the commands
pub mod clock; // time as a parameter
pub mod document; // openclaw.yaml -> what must exist
pub mod document_file; // a document on disk: locked, replaced as a whole
pub mod environment; // where a document's references lead on this machine
pub mod event; // what happened
pub mod expression; // filters and templates: parsed, checked, evaluated within a bound
pub mod gateway; // builds, starts and stops every room
pub mod inbound; // HTTP request -> events in the store
pub mod listener; // sockets, TLS, limits: where requests come in
pub mod outbound; // what is owed -> HTTP attempts
pub mod plan; // what must exist against what runs -> what is to be done
pub mod proof; // the proof of a request, made anew
pub mod reconcile; // files, plans and what runs: the only room that changes it
pub mod secret; // the redacted value
pub mod store; // what outlives the process
pub mod telemetry; // logs
