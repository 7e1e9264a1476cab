//! The API: the types that travel, and the client that the commands use.

pub mod client; // the commands' way to a gateway
pub mod impact; // a plan's, on what a store holds
pub mod server; // the API itself
pub mod wire; // what both sides say
