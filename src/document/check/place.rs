//! Where in the document the walk is: written out only for a fault.

use std::fmt;

use crate::document::diagnostic::plain;

/// A path of keys and indices, kept on the stack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'p> {
    parent: Option<&'p Place<'p>>,
    step: Step<'p>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'p> {
    Key(&'p str),
    Index(usize),
}

impl<'p> Place<'p> {
    pub(super) fn root(key: &'p str) -> Self {
        Self {
            parent: None,
            step: Step::Key(key),
        }
    }

    pub(super) fn key(&'p self, key: &'p str) -> Self {
        Self {
            parent: Some(self),
            step: Step::Key(key),
        }
    }

    pub(super) fn index(&'p self, index: usize) -> Self {
        Self {
            parent: Some(self),
            step: Step::Index(index),
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Key(key) if self.parent.is_some() => write!(f, ".{}", plain(key)),
            Step::Key(key) => f.write_str(&plain(key)),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}
