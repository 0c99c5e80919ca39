//! The life of a message as one word that only rises.

/// Where a message stands. The first six are a ladder; the last three are ends off the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Accepted and waiting.
    Queued,
    /// At least one attempt was begun.
    Sending,
    /// A call was begun and its outcome cannot be known yet.
    Unknown,
    /// The provider accepted it.
    Sent,
    /// It is on the recipient's device.
    Delivered,
    /// It was shown in an open chat.
    Read,
    /// It will not be delivered.
    Failed,
    /// Its validity ended before it could be sent.
    Expired,
    /// The customer took it back in time.
    Canceled,
}

/// What a provider's callback says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It left the provider's servers.
    Sent,
    /// It is on a device.
    Delivered,
    /// It was shown.
    Read,
    /// It was not sent or not delivered.
    Failed,
}

impl Status {
    /// Every status, in rising order.
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Sending,
        Self::Unknown,
        Self::Sent,
        Self::Delivered,
        Self::Read,
        Self::Failed,
        Self::Expired,
        Self::Canceled,
    ];

    /// The name in the API and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Unknown => "unknown",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Canceled => "canceled",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether nobody has to look at it any more; only a report can change it.
    #[must_use]
    pub fn is_final(self) -> bool {
        self.rank() > Self::Unknown.rank()
    }

    /// Whether the provider has it.
    #[must_use]
    pub fn is_taken(self) -> bool {
        matches!(self, Self::Sent | Self::Delivered | Self::Read)
    }

    /// Whether it can rise to that status, by whatever happens.
    #[must_use]
    pub fn may_become(self, to: Self) -> bool {
        let ended = self.rank() > Self::Read.rank();
        match to {
            Self::Queued | Self::Sending | Self::Unknown | Self::Sent => !ended && self.rank() < to.rank(),
            Self::Delivered | Self::Read => ended || self.rank() < to.rank(),
            Self::Failed => self.rank() <= Self::Sent.rank(),
            Self::Expired | Self::Canceled => self.rank() < Self::Sent.rank(),
        }
    }

    /// The status after a provider's report, or `None` where the report changes nothing: it is late, a
    /// repeat, or outranked. A proof of delivery outranks every failure; a failure outranks acceptance only.
    #[must_use]
    pub fn after(self, report: Report) -> Option<Self> {
        let ended = matches!(self, Self::Failed | Self::Expired | Self::Canceled);
        match report {
            Report::Sent => (!ended && self.rank() < Self::Sent.rank()).then_some(Self::Sent),
            Report::Delivered => (ended || self.rank() < Self::Delivered.rank()).then_some(Self::Delivered),
            Report::Read => (self != Self::Read).then_some(Self::Read),
            Report::Failed => (!ended && self.rank() <= Self::Sent.rank()).then_some(Self::Failed),
        }
    }

    fn rank(self) -> usize {
        Self::ALL.iter().position(|status| *status == self).unwrap_or(Self::ALL.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, Status};
    use proptest::prelude::{Just, Strategy, prop_assert_eq, prop_oneof, proptest};

    #[test]
    fn reports_raise_the_status_as_documented() {
        use Report as R;
        use Status as S;
        let rows: [(S, [Option<S>; 4]); 9] = [
            (S::Queued, [Some(S::Sent), Some(S::Delivered), Some(S::Read), Some(S::Failed)]),
            (S::Sending, [Some(S::Sent), Some(S::Delivered), Some(S::Read), Some(S::Failed)]),
            (S::Unknown, [Some(S::Sent), Some(S::Delivered), Some(S::Read), Some(S::Failed)]),
            (S::Sent, [None, Some(S::Delivered), Some(S::Read), Some(S::Failed)]),
            (S::Delivered, [None, None, Some(S::Read), None]),
            (S::Read, [None, None, None, None]),
            (S::Failed, [None, Some(S::Delivered), Some(S::Read), None]),
            (S::Expired, [None, Some(S::Delivered), Some(S::Read), None]),
            (S::Canceled, [None, Some(S::Delivered), Some(S::Read), None]),
        ];
        for (from, expected) in rows {
            for (report, to) in [R::Sent, R::Delivered, R::Read, R::Failed].into_iter().zip(expected) {
                assert_eq!(from.after(report), to, "{from:?} after {report:?}");
                assert!(to.is_none_or(|to| from.may_become(to)), "{from:?} after {report:?}");
            }
        }
    }

    #[test]
    fn nothing_falls() {
        use Status as S;
        let possible =
            |from: S| S::ALL.into_iter().filter(move |to| from.may_become(*to)).collect::<Vec<_>>();
        let after_sending = [S::Unknown, S::Sent, S::Delivered, S::Read, S::Failed, S::Expired, S::Canceled];
        assert_eq!(possible(S::Queued)[0], S::Sending);
        assert_eq!(possible(S::Sending), after_sending);
        assert_eq!(possible(S::Unknown), after_sending[1..]);
        assert_eq!(possible(S::Sent), [S::Delivered, S::Read, S::Failed]);
        assert_eq!(possible(S::Delivered), [S::Read]);
        assert_eq!(possible(S::Read), []);
        for ended in [S::Failed, S::Expired, S::Canceled] {
            assert_eq!(possible(ended), [S::Delivered, S::Read]);
        }
        let finals = S::ALL.into_iter().filter(|status| status.is_final()).count();
        let taken = S::ALL.into_iter().filter(|status| status.is_taken()).count();
        assert_eq!((finals, taken), (6, 3));
    }

    fn report() -> impl Strategy<Value = Report> {
        prop_oneof![Just(Report::Sent), Just(Report::Delivered), Just(Report::Read), Just(Report::Failed)]
    }

    proptest! {
        #[test]
        fn repeats_change_nothing_and_read_ends_everything(reports in proptest::collection::vec(report(), 0..12)) {
            let mut status = Status::Sending;
            for report in &reports {
                status = status.after(*report).unwrap_or(status);
                prop_assert_eq!(status.after(*report), None);
            }
            if reports.contains(&Report::Read) {
                prop_assert_eq!(status, Status::Read);
            } else if reports.contains(&Report::Delivered) {
                prop_assert_eq!(status, Status::Delivered);
            }
        }
    }
}
