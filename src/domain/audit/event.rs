//! One event, and the webhooks owed for it.

use uuid::Uuid;

use super::{Check, Received, Terms};

/// What the database has of one event.
#[derive(Clone, Debug)]
pub struct Event {
    /// The name of its kind.
    pub kind: String,
    /// The message it is about.
    pub message_id: Option<Uuid>,
    /// The number of the rise it tells.
    pub sequence: Option<i16>,
    /// The status it tells.
    pub status: Option<String>,
    /// An endpoint wanted it when it happened, and is not owed it.
    pub missed: bool,
    /// What is owed to endpoints.
    pub owed: Vec<Delivery>,
}

/// A webhook's row.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// It is neither delivered nor given up.
    pub pending: bool,
    /// It was delivered before the receivers' ledger ends.
    pub delivered: bool,
    /// Milliseconds until it is due; below 0: since when it is.
    pub due_in_ms: Option<i64>,
}

impl Event {
    /// Everything that is wrong with it, each once. `received` is what a receiver got of it; `None`: nobody remembers.
    #[must_use]
    pub fn judge(&self, received: Option<Option<&Received>>, terms: &Terms) -> Vec<Check> {
        let mut wrong = Vec::new();
        let mut note = |is_wrong: bool, check| wrong.extend(is_wrong.then_some(check));
        note(self.missed, Check::DeliveryMissing);
        note(self.owed.iter().any(|d| d.pending != d.due_in_ms.is_some()), Check::DeliveryUnseen);
        note(self.owed.iter().any(|d| d.pending && terms.overdue(d.due_in_ms)), Check::DeliveryOverdue);
        match received {
            Some(None) => note(self.owed.iter().any(|d| d.delivered), Check::WebhookUnreceived),
            Some(Some(received)) => note(!self.is_told_by(received), Check::WebhookUntrue),
            None => {}
        }
        wrong
    }

    /// Whether the webhook says what happened; those of people and instances are recognised by their id alone.
    fn is_told_by(&self, received: &Received) -> bool {
        !self.kind.starts_with("message.")
            || (received.message_id == self.message_id
                && received.sequence == self.sequence
                && received.status == self.status)
    }
}
