//! Promises, each in a module of its own, held by the real binary.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::type_complexity,
    clippy::unwrap_used,
    clippy::similar_names,
    clippy::format_collect,
    clippy::format_push_string
)] // tests read better so

mod bad_documents;
mod certificates;
mod clock;
mod completions;
mod damaged_store;
mod dependencies;
mod disk;
mod docs;
mod documents_on_disk;
mod editors;
mod edits;
mod foresight;
mod formats;
mod forwarding;
mod full_disk;
mod fuzz_inputs;
mod guarantees;
mod harness;
mod hostile_clients;
mod hostile_destinations;
mod init;
mod kill_loses_nothing;
mod load;
mod operations;
mod ordering;
mod outbound_fields;
mod own_events;
mod plan_and_apply;
mod power_loss;
mod prepare_fails;
mod python_verifies;
mod receivers;
mod reload_loses_nothing;
mod retries;
mod rotation;
mod secrets_stay_secret;
mod stops;
mod tidy;
mod torture;
mod tour;
mod tutorial;
mod vector_core;
mod vectors;
mod webhooks;
mod without_a_gateway;
