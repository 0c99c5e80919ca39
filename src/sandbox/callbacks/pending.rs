//! What waits to be reported.

use jiff::Timestamp;

use crate::sandbox::recipients::{Link, Report};

/// Something that has updates to report, one at a time.
#[derive(Debug)]
pub struct Pending {
    /// The `phone_number_id` it belongs to, or the name of Evolution's instance.
    pub sender: String,
    /// The recipient's digits.
    pub number: String,
    /// What it is.
    pub subject: Subject,
}

/// What is reported.
#[derive(Debug)]
pub enum Subject {
    /// The statuses of an accepted message.
    Message(Message),
    /// A text the recipient writes, once.
    Text(String),
    /// Evolution: a message has left, told once.
    WentOut {
        /// The provider's id of it.
        id: String,
        /// Its text.
        text: String,
    },
    /// Evolution: the instance's connection changes, told once.
    Link(Link),
}

/// An accepted message.
#[derive(Debug)]
pub struct Message {
    /// The provider's id of it.
    pub id: String,
    /// The client's note, repeated in each status.
    pub opaque: Option<String>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// What is still to be reported; the first is next.
    pub reports: &'static [Report],
}

impl Pending {
    /// What is left once the next update has been reported.
    pub fn rest(mut self) -> Option<Self> {
        match &mut self.subject {
            Subject::Text(_) | Subject::WentOut { .. } | Subject::Link(_) => None,
            Subject::Message(message) => {
                message.reports = message.reports.get(1..).unwrap_or_default();
                (!message.reports.is_empty()).then_some(self)
            }
        }
    }
}
