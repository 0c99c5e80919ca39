//! The callbacks: what waits to be reported, the body it is reported in, and the workers that post it.

mod envelope;
mod evolution;
mod outbox;
mod pending;
mod reporter;
mod signature;

pub use self::envelope::{DISPLAY_NUMBER, VERIFIED_NAME};
pub use self::evolution::{EvolutionReporter, INSTANCE_ROW, Instances};
pub use self::outbox::{Outbox, Tally};
pub use self::pending::{Message, Pending, Subject};
pub use self::reporter::Reporter;
#[cfg(test)]
pub use self::reporter::plain_client;
pub use self::signature::message_id;
#[cfg(test)]
pub use self::signature::signature;
