//! A message as the product leads it through its life.

use crate::domain::audit::{Attempt, Message, Recorded, Rise};
use crate::domain::status::{Report, Status};

/// A message as the product leads it.
pub(super) struct Life {
    pub(super) message: Message,
}

impl Life {
    pub(super) fn new() -> Self {
        let message = Message {
            status: Status::Queued,
            sequence: 0,
            calls: 0,
            in_flight: false,
            unsent: false,
            resent: false,
            leased: false,
            due_in_ms: Some(0),
            put_off: false,
            sender_held: false,
            provider_message_id: None,
            decided: true,
            confirmation: false,
            witnessable: true,
            attempts: Vec::new(),
            rises: Vec::new(),
            told_apart: Vec::new(),
        };
        Self { message }
    }

    fn rise(&mut self, to: Status) {
        let m = &mut self.message;
        m.sequence += 1;
        m.rises.push(Rise { sequence: m.sequence, from: Some(m.status), to: Some(to) });
        if matches!(to, Status::Delivered | Status::Read) {
            m.told_apart.push(m.sequence);
        }
        m.status = to;
    }

    /// What `delivery.begin` does, where it may.
    pub(super) fn begin(&mut self) {
        let m = &self.message;
        let may =
            matches!(m.status, Status::Queued | Status::Sending) || (m.status == Status::Unknown && m.unsent);
        if !may || m.in_flight {
            return;
        }
        if self.message.status == Status::Queued {
            self.rise(Status::Sending);
        }
        let m = &mut self.message;
        (m.in_flight, m.unsent, m.leased, m.put_off) = (true, false, true, false);
        m.calls += 1;
        m.attempts.push(Attempt {
            number: m.calls,
            recorded: Recorded::Open,
            provider_message_id: None,
            witnessable: true,
        });
    }

    /// What `outcomes.record` does with the outcome of the call under way.
    pub(super) fn record(&mut self, recorded: Recorded) {
        if !self.message.in_flight {
            return;
        }
        let to = match recorded {
            Recorded::Accepted => Some(Status::Sent),
            Recorded::Unknown => Some(Status::Unknown),
            Recorded::Refused => Some(Status::Failed),
            Recorded::Open | Recorded::Unsent | Recorded::Garbled => None,
        };
        let before = self.message.status;
        if let Some(to) = to.filter(|to| *to != before) {
            self.rise(to);
        }
        let m = &mut self.message;
        let id = (recorded == Recorded::Accepted).then(|| format!("id-{}", m.calls));
        let last = m.attempts.last_mut().expect("a call is under way");
        (last.recorded, last.provider_message_id) = (recorded, id.clone());
        m.provider_message_id = id.or(m.provider_message_id.take());
        m.unsent = to.is_none() && before == Status::Unknown;
        (m.in_flight, m.leased, m.put_off) = (false, false, to.is_none());
        m.due_in_ms = (!m.status.is_final()).then_some(1_000);
    }

    /// What `reports.raise` does with a report of the last call.
    pub(super) fn report(&mut self, report: Report) {
        let Some(to) = self.message.status.after(report) else { return };
        if self.message.attempts.is_empty() {
            return;
        }
        self.rise(to);
        let m = &mut self.message;
        let last = m.attempts.last_mut().expect("there was a call");
        let id = last.provider_message_id.clone().unwrap_or_else(|| "reported".to_owned());
        last.provider_message_id = Some(id.clone());
        if matches!(last.recorded, Recorded::Open | Recorded::Unknown) {
            last.recorded = Recorded::Accepted;
        }
        m.provider_message_id = m.provider_message_id.take().or(Some(id));
        (m.in_flight, m.unsent, m.due_in_ms) = (false, false, None);
    }

    /// What `due.messages` does where the setting is to resend.
    pub(super) fn resend(&mut self) {
        let m = &mut self.message;
        if m.status == Status::Unknown && !m.in_flight && !m.unsent && !m.resent {
            (m.unsent, m.resent, m.put_off) = (true, true, true);
        }
    }
}
