//! One message's life.

use super::{Answered, Call, Check, Terms, Told, Witnessed};
use crate::domain::status::Status;

/// What the database has of one message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Where it stands.
    pub status: Status,
    /// How often its status has risen.
    pub sequence: i16,
    /// How many calls were begun.
    pub calls: i16,
    /// A call is under way.
    pub in_flight: bool,
    /// Its last call is known not to have sent it.
    pub unsent: bool,
    /// It was sent again without evidence.
    pub resent: bool,
    /// Some worker has, or had, a lease of it.
    pub leased: bool,
    /// Milliseconds until it is due; below 0: since when it is.
    pub due_in_ms: Option<i64>,
    /// It is not to be attempted before a time that is ahead.
    pub put_off: bool,
    /// Its sender is paused, held, or not open.
    pub sender_held: bool,
    /// The provider's id of it.
    pub provider_message_id: Option<String>,
    /// The policy log has the decision to accept it, or none was needed.
    pub decided: bool,
    /// No sender asked for it: it answers an opt-out.
    pub confirmation: bool,
    /// It is older than the witnesses' ledgers.
    pub witnessable: bool,
    /// Its attempts by number.
    pub attempts: Vec<Attempt>,
    /// Its rises by sequence.
    pub rises: Vec<Rise>,
    /// The sequences of its `message.delivered` and `message.read`.
    pub told_apart: Vec<i16>,
}

/// One attempt's row.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: i16,
    /// What became of it.
    pub recorded: Recorded,
    /// The provider's id of the message.
    pub provider_message_id: Option<String>,
    /// It ended before the witnesses' ledgers do.
    pub witnessable: bool,
}

/// What is on record of an attempt's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Nothing yet.
    Open,
    /// The provider took the message.
    Accepted,
    /// It may have taken it.
    Unknown,
    /// It certainly did not, and another attempt is allowed.
    Unsent,
    /// It certainly did not, and never will.
    Refused,
    /// A word that no outcome has.
    Garbled,
}

impl Recorded {
    /// Reads `attempts.outcome`.
    #[must_use]
    pub fn read(outcome: Option<&str>) -> Self {
        match outcome {
            None => Self::Open,
            Some("accepted") => Self::Accepted,
            Some("unknown") => Self::Unknown,
            Some("retry" | "throttle_sender" | "throttle_pair" | "instance" | "not_made") => Self::Unsent,
            Some("permanent" | "recipient" | "window") => Self::Refused,
            Some(_) => Self::Garbled,
        }
    }
}

/// One rise of the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rise {
    /// Its number, from 1.
    pub sequence: i16,
    /// From where; `None`: the event does not say.
    pub from: Option<Status>,
    /// To where; `None`: the event does not say.
    pub to: Option<Status>,
}

impl Message {
    /// Everything that is wrong with it, each once.
    #[must_use]
    pub fn judge(&self, witnessed: &Witnessed<'_>, terms: &Terms) -> Vec<Check> {
        let mut wrong = Vec::new();
        wrong.extend(self.waiting(terms));
        self.attempted(&mut wrong);
        self.risen(&mut wrong);
        let mut note = |is_wrong: bool, check| wrong.extend(is_wrong.then_some(check));
        note(self.accepted_twice(witnessed.calls), Check::AcceptedTwice);
        note(!self.provider_id_agrees(), Check::ProviderIdDisagrees);
        note(!self.decided, Check::DecisionMissing);
        match witnessed.told {
            Some(Told::Nothing) => {
                note(self.witnessable && !self.confirmation, Check::AcceptedUntold);
            }
            Some(Told::Accepted(told)) => note(!self.bears_out(told.answered), Check::AnswerContradicted),
            Some(Told::Lost) | None => {}
        }
        if let Some(calls) = witnessed.calls {
            self.called(calls, &mut wrong);
        }
        wrong
    }

    fn waiting(&self, terms: &Terms) -> Option<Check> {
        let overdue = terms.overdue(self.due_in_ms);
        if self.status.is_final() {
            // A worker that gives back what a report has ended meanwhile makes it due at once, and sweep clears that.
            let cleared_soon = self.due_in_ms.is_none_or(|due| due <= 0) && !overdue && !terms.settled;
            return (self.due_in_ms.is_some() && !cleared_soon).then_some(Check::FinalDue);
        }
        if self.due_in_ms.is_none() {
            return Some(Check::WaitsUnseen);
        }
        match (overdue, self.leased) {
            (true, true) => Some(Check::LeaseOutlived),
            (true, false) => Some(Check::Overdue),
            (false, _) => (terms.settled && !self.explained()).then_some(Check::UnexplainedWait),
        }
    }

    /// Whether it is known what it waits for: an answer, evidence, a retry or a slot, its sender.
    fn explained(&self) -> bool {
        let for_evidence = self.status == Status::Unknown && !self.unsent;
        self.in_flight || for_evidence || self.put_off || self.sender_held
    }

    fn attempted(&self, wrong: &mut Vec<Check>) {
        let numbered = self.attempts.iter().map(|attempt| attempt.number).eq(1..=self.calls);
        let garbled = self.attempts.iter().any(|attempt| attempt.recorded == Recorded::Garbled);
        let called = !self.status.is_taken() || !self.attempts.is_empty();
        if !numbered || garbled || !called {
            wrong.push(Check::AttemptsDisagree);
        }
        let last_open = self.attempts.last().is_some_and(|attempt| attempt.recorded == Recorded::Open);
        // A report may end a message during its call; its worker's record comes later, or never if it died.
        let overtaken = self.status.is_final() && self.leased;
        if (last_open && !self.in_flight && !overtaken) || (self.in_flight && !last_open) {
            wrong.push(Check::AttemptOpen);
        }
        if self.called_blindly() {
            wrong.push(Check::BlindSecondCall);
        }
        let accepted = self.attempts.iter().any(|attempt| attempt.recorded == Recorded::Accepted);
        if accepted && !self.status.is_final() {
            wrong.push(Check::AcceptedForgotten);
        }
    }

    /// Whether a call followed one that may have sent it. The instance's setting stands in for evidence once.
    fn called_blindly(&self) -> bool {
        let mut allowed = u32::from(self.resent);
        let earlier = self.attempts.split_last().map_or(&[][..], |(_, earlier)| earlier);
        earlier.iter().any(|attempt| match attempt.recorded {
            Recorded::Unsent => false,
            // A report may have settled it after the resend.
            Recorded::Unknown | Recorded::Accepted if allowed > 0 => {
                allowed -= 1;
                false
            }
            Recorded::Unknown
            | Recorded::Accepted
            | Recorded::Open
            | Recorded::Refused
            | Recorded::Garbled => true,
        })
    }

    fn accepted_twice(&self, calls: Option<&[Call]>) -> bool {
        let recorded = self.attempts.iter().filter(|attempt| attempt.recorded == Recorded::Accepted).count();
        let seen = calls.unwrap_or_default().iter().filter(|call| call.accepted).count();
        recorded.max(seen) > 1
    }

    fn provider_id_agrees(&self) -> bool {
        let with_id = |attempt: &&Attempt| attempt.provider_message_id.is_some();
        let has = |attempt: &Attempt| attempt.provider_message_id == self.provider_message_id;
        let mut accepted = self
            .attempts
            .iter()
            .filter(|attempt| attempt.recorded == Recorded::Accepted)
            .filter(with_id)
            .peekable();
        if accepted.peek().is_some() {
            return accepted.any(has);
        }
        match self.provider_message_id {
            Some(_) => self.attempts.iter().any(has),
            None => !self.status.is_taken(),
        }
    }

    fn risen(&self, wrong: &mut Vec<Check>) {
        let mut status = Status::Queued;
        let mut chained = true;
        for (place, rise) in (1..).zip(&self.rises) {
            let follows = rise.sequence == place && rise.from == Some(status);
            chained &= follows && rise.to.is_some_and(|to| status.may_become(to));
            status = rise.to.unwrap_or(status);
        }
        if !chained {
            wrong.push(Check::RisesBroken);
        }
        let last = self.rises.last().map_or(0, |rise| rise.sequence);
        if (last, status) != (self.sequence, self.status) {
            wrong.push(Check::StatusDisagrees);
        }
        let apart = |rise: &&Rise| matches!(rise.to, Some(Status::Delivered | Status::Read));
        if self.rises.iter().filter(apart).any(|rise| !self.told_apart.contains(&rise.sequence)) {
            wrong.push(Check::EventMissing);
        }
    }

    fn bears_out(&self, answered: Answered) -> bool {
        let mut reached = self.rises.iter().filter_map(|rise| rise.to);
        match answered {
            Answered::Queued => true,
            Answered::Sent => reached.any(Status::is_taken),
            Answered::Failed => reached.any(|status| matches!(status, Status::Failed | Status::Expired)),
        }
    }

    fn called(&self, calls: &[Call], wrong: &mut Vec<Check>) {
        let of = |number: i16| calls.iter().filter(move |call| call.attempt == number);
        if calls.iter().any(|call| !self.attempts.iter().any(|attempt| attempt.number == call.attempt)) {
            wrong.push(Check::CallUnrecorded);
        }
        if self.attempts.iter().any(|attempt| of(attempt.number).count() > 1) {
            wrong.push(Check::CallRepeated);
        }
        let contradicts = |attempt: &Attempt| match attempt.recorded {
            Recorded::Accepted => {
                of(attempt.number).next().is_some() && !of(attempt.number).any(|c| c.accepted)
            }
            Recorded::Unsent | Recorded::Refused => of(attempt.number).any(|call| call.accepted),
            Recorded::Open | Recorded::Unknown | Recorded::Garbled => false,
        };
        if self.attempts.iter().any(contradicts) {
            wrong.push(Check::OutcomeContradicted);
        }
        let unseen = |attempt: &Attempt| {
            let accepted = attempt.recorded == Recorded::Accepted && attempt.witnessable;
            accepted && of(attempt.number).next().is_none()
        };
        if self.attempts.iter().any(unseen) {
            wrong.push(Check::CallUnseen);
        }
    }
}
