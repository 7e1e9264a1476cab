//! What is owed -> HTTP attempts.
//!
//! The [`Dispatcher`] knows every sender and is told by the store which of them have work ([`crate::store::Wake`]). A
//! sender with work has one task (`sender.rs`): it claims due deliveries, asks its filter (`flight.rs`), makes the request of
//! its format (`payload.rs`, `chat.rs`, `agent_hook.rs`, `forward.rs`), attempts each (`attempt.rs`), judges the answer
//! (`answer.rs`, `verdict.rs`) and settles. Without work it has none: its next retry is an entry of the dispatcher's one timer. What a
//! sender may do at the moment, and what an answer changes, is its `slot.rs`.
//!
//! Bounds: a sender holds at most `concurrency` claimed deliveries that are under way or about to be, and as many that
//! wait to be settled, whatever its backlog; all senders together have at most `egress.maxInFlight` attempts in flight
//! (`limits.rs` has the rule of sharing); [`NOTICES`] notices wait at most.
//!
//! What is charged as an attempt: every request that was sent and failed, a breaker's probe too. Not charged: a 410 (the
//! sender is suspended and still owes the delivery), kept connections that the endpoint had closed, our own lack of
//! sockets, and whatever was not sent: an open breaker, a rate limit, a pause, a suspension, a filter or template that fails.

mod agent_hook;
mod answer;
mod attempt;
mod backoff;
mod breaker;
mod change;
mod chat;
mod clients;
mod dispatcher;
mod egress;
mod flight;
mod forward;
mod limits;
mod payload;
mod prepared;
mod prose;
mod rate;
mod sender;
mod sign;
mod slot;
mod stand_in;
mod status;
mod verdict;
mod wire;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use breaker::BreakerState;
pub use change::{Notice, SenderChange};
pub use dispatcher::{Dispatcher, NOTICES};
pub use egress::Refused;
pub use prepared::{PreparedSender, SenderError};
pub use stand_in::StandIn;
pub use status::{DispatcherFigures, Histogram, SenderState, SenderStatus};
