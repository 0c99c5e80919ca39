//! What the audit looks for, each under an id that stays, with a sentence that says what it means where it is found.

/// One thing that must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Check {
    /// Waits without a time at which somebody looks at it.
    WaitsUnseen,
    /// Final, and yet due.
    FinalDue,
    /// Due long ago.
    Overdue,
    /// Held by a worker whose lease ended long ago.
    LeaseOutlived,
    /// Waits for nothing that is known.
    UnexplainedWait,
    /// The number of calls and the rows of attempts differ.
    AttemptsDisagree,
    /// A call without an outcome that is not under way, or the other way round.
    AttemptOpen,
    /// A call after one that may have sent the message.
    BlindSecondCall,
    /// Accepted by the provider more than once.
    AcceptedTwice,
    /// Accepted by the provider, and still waiting to be sent.
    AcceptedForgotten,
    /// The provider's id is none of its attempts'.
    ProviderIdDisagrees,
    /// The rises of the status are not a chain.
    RisesBroken,
    /// The row and its last rise differ.
    StatusDisagrees,
    /// A delivery or a reading has no event of its own.
    EventMissing,
    /// Nobody decided that it may be sent.
    DecisionMissing,
    /// Attempts or events of a message that is not there.
    Orphan,
    /// An endpoint that wanted an event is not owed it.
    DeliveryMissing,
    /// A webhook that waits without a time, or has ended and is due.
    DeliveryUnseen,
    /// A webhook that was due long ago.
    DeliveryOverdue,
    /// A counter is not the number of messages that hold a place in it.
    QuotaDisagrees,
    /// A decision to accept without its message.
    DecisionWithoutMessage,
    /// An idempotency key without its message.
    KeyWithoutMessage,
    /// A callback that the database refused again and again.
    CallbackGivenUp,
    /// A callback that waits for longer than any should.
    CallbackParked,
    /// Somebody was told that it is accepted, and it is not there.
    AcceptedLost,
    /// Nobody was told of it.
    AcceptedUntold,
    /// A key stands for another message than the one that was answered.
    KeyDisagrees,
    /// The answer said what never was.
    AnswerContradicted,
    /// The provider got a call that is not on record.
    CallUnrecorded,
    /// The provider got the same call twice.
    CallRepeated,
    /// The record of a call says the opposite of the provider.
    OutcomeContradicted,
    /// A call is on record as accepted, and the provider never got it.
    CallUnseen,
    /// On record as delivered, and never received.
    WebhookUnreceived,
    /// Received, and not what happened.
    WebhookUntrue,
}

/// What a check looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Messages.
    Message,
    /// Messages, where the system is said to have come to rest.
    Settled,
    /// Events with what is owed for them.
    Event,
    /// Counters of allowances.
    Counter,
    /// Decisions to accept.
    Decision,
    /// Idempotency keys.
    Key,
    /// Callbacks that are not settled.
    Callback,
    /// Answers to senders, which a witness remembers.
    Answer,
    /// Messages, held against the answers that a witness remembers.
    Told,
    /// Provider calls, which a witness saw.
    Call,
    /// Messages, held against the calls that a witness saw.
    Called,
    /// Webhooks, which a witness received.
    Received,
    /// Events, held against the webhooks that a witness received.
    Receivable,
}

type Row = (Check, &'static str, Subject, &'static str);

#[rustfmt::skip]
const ROWS: [Row; 34] = [
    (Check::WaitsUnseen, "waits_unseen", Subject::Message,
     "a message is not final and has no due_at: nobody will ever look at it again"),
    (Check::FinalDue, "final_due", Subject::Message,
     "a message is final and still has a due_at, which nobody has cleared"),
    (Check::Overdue, "overdue", Subject::Message,
     "a message was due long ago: deliver or sweep does not run, or does not keep up"),
    (Check::LeaseOutlived, "lease_outlived", Subject::Message,
     "a worker's lease of a message ended long ago and nobody has taken the message over: deliver or sweep does not run"),
    (Check::UnexplainedWait, "unexplained_wait", Subject::Settled,
     "a message waits although no call, evidence, retry, slot or sender is waited for"),
    (Check::AttemptsDisagree, "attempts_disagree", Subject::Message,
     "the attempts of a message are not numbered from 1 to its number of calls, or one has an outcome that does not exist"),
    (Check::AttemptOpen, "attempt_open", Subject::Message,
     "the last call of a message has no outcome although none is under way, or one is under way that has an outcome"),
    (Check::BlindSecondCall, "blind_second_call", Subject::Message,
     "the provider was called again after a call that may have sent the message"),
    (Check::AcceptedTwice, "accepted_twice", Subject::Message,
     "the provider accepted a message more than once: its recipient got it twice"),
    (Check::AcceptedForgotten, "accepted_forgotten", Subject::Message,
     "the provider accepted a message that still waits, and so may be sent again"),
    (Check::ProviderIdDisagrees, "provider_id_disagrees", Subject::Message,
     "a message's provider id is not that of the attempt that was accepted: reports will not find it"),
    (Check::RisesBroken, "rises_broken", Subject::Message,
     "the rises of a message's status are not numbered from 1 without gaps, do not follow each other, or one falls"),
    (Check::StatusDisagrees, "status_disagrees", Subject::Message,
     "a message's status or sequence is not that of its last rise"),
    (Check::EventMissing, "event_missing", Subject::Message,
     "a message was delivered or read and there is no message.delivered or message.read for it"),
    (Check::DecisionMissing, "decision_missing", Subject::Message,
     "the policy log has no decision to accept a message"),
    (Check::Orphan, "orphan", Subject::Message,
     "there are attempts or events of a message that is not there"),
    (Check::DeliveryMissing, "delivery_missing", Subject::Event,
     "an endpoint that wanted an event is not owed it: it will never be told"),
    (Check::DeliveryUnseen, "delivery_unseen", Subject::Event,
     "a webhook waits without a due_at, or has ended with one"),
    (Check::DeliveryOverdue, "delivery_overdue", Subject::Event,
     "a webhook was due long ago: sweep or notify does not run, or does not keep up"),
    (Check::QuotaDisagrees, "quota_disagrees", Subject::Counter,
     "the counter of a day or a month is not the number of messages that hold a place in it"),
    (Check::DecisionWithoutMessage, "decision_without_message", Subject::Decision,
     "the policy log has a decision to accept a message that is not there"),
    (Check::KeyWithoutMessage, "key_without_message", Subject::Key,
     "an idempotency key stands for a message that is not there"),
    (Check::CallbackGivenUp, "callback_given_up", Subject::Callback,
     "a callback was refused by the database until it was given up: what it says has had no effect"),
    (Check::CallbackParked, "callback_parked", Subject::Callback,
     "a callback waits for longer than any should: gateway serve does not run, or cannot apply it"),
    (Check::AcceptedLost, "accepted_lost", Subject::Answer,
     "a sender was told that a message is accepted, and it is not there"),
    (Check::AcceptedUntold, "accepted_untold", Subject::Told,
     "a message is there that no sender was told of, and of which no answer was lost"),
    (Check::KeyDisagrees, "key_disagrees", Subject::Answer,
     "an idempotency key stands for another message than the one its sender was told of"),
    (Check::AnswerContradicted, "answer_contradicted", Subject::Told,
     "a sender was told that a message is sent or has failed, and it never was or did"),
    (Check::CallUnrecorded, "call_unrecorded", Subject::Call,
     "the provider got a call that is not on record"),
    (Check::CallRepeated, "call_repeated", Subject::Called,
     "the provider got one call more than once"),
    (Check::OutcomeContradicted, "outcome_contradicted", Subject::Called,
     "a call is on record as accepted that the provider refused, or as refused that the provider accepted"),
    (Check::CallUnseen, "call_unseen", Subject::Called,
     "a call is on record as accepted that the provider never got"),
    (Check::WebhookUnreceived, "webhook_unreceived", Subject::Receivable,
     "a webhook is on record as delivered that the receiver never got"),
    (Check::WebhookUntrue, "webhook_untrue", Subject::Received,
     "a receiver got a webhook of an event that is not on record, or that says something else"),
];

impl Check {
    /// Every check, in the order of the report.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.0)
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// Its id in reports; it never changes its meaning.
    #[must_use]
    pub fn id(self) -> &'static str {
        self.row().1
    }

    /// What it looks at.
    #[must_use]
    pub fn subject(self) -> Subject {
        self.row().2
    }

    /// What is wrong where it is found, in a sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.row().3
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Check, ROWS};

    #[test]
    fn every_check_has_its_own_row_and_id() {
        for (place, row) in ROWS.iter().enumerate() {
            assert_eq!(row.0 as usize, place, "{}", row.1);
        }
        let ids: HashSet<&str> = Check::all().map(Check::id).collect();
        assert_eq!(ids.len(), ROWS.len());
        assert!(ids.iter().all(|id| id.chars().all(|c| c.is_ascii_lowercase() || c == '_')));
    }
}
