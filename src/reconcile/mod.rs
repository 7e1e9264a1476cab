//! The only room that changes what runs.

pub mod settle; // a file's content, once it stands still
pub mod watcher; // files -> "look again", never content
