//! What must hold of a message's whole life, and what is wrong with one of which it does not.
//!
//! Facts are what the database has of one message, or of one event, as of one moment; witnesses are what somebody outside
//! remembers. The judgement needs nothing else.

mod checks;
mod event;
mod message;
#[cfg(test)]
mod tests;
mod witness;

pub use checks::{Check, Subject};
pub use event::{Delivery, Event};
pub use message::{Attempt, Message, Recorded, Rise};
pub use witness::{Accepted, Answered, Call, Received, Told, Witnessed, Witnesses};

/// By what measure is judged.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The system has had the time to do all that it can do.
    pub settled: bool,
    /// Milliseconds after which what is due and was not looked at is found.
    pub overdue_ms: i64,
}

impl Terms {
    /// Whether somebody should have looked at it long ago; `due_in_ms` is below 0 for what is due.
    fn overdue(&self, due_in_ms: Option<i64>) -> bool {
        due_in_ms.is_some_and(|due_in_ms| due_in_ms < -self.overdue_ms)
    }
}
