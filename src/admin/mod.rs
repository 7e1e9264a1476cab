//! The API: the types that travel, and the client that the commands use.

pub mod client; // the commands' way to a gateway
pub mod server; // the API itself
pub mod wire; // what both sides say
