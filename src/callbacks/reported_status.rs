//! What providers say of a sent message, whichever of them says it.

use crate::domain::outcome::Failure;

/// How a sent message fares. Reports come late, twice and out of order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ReportedStatus {
    /// It left the provider's servers.
    Sent,
    /// It is on a device of the recipient's.
    Delivered,
    /// It was shown (or, for a voice message, played). A delivery is not always reported before.
    Read,
    /// It was not sent, or not delivered.
    Failed(Failure),
}
