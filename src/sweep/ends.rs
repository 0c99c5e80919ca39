//! Messages that come to an end unattended: whose validity is over, whose call was lost, of whose fate nothing was heard.
//!
//! Every due message is looked at, those of a backlog some at a time from where the last look ended, and written to only if
//! it has come to an end.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::purpose::Lane;
use crate::domain::retry::Next;
use crate::store::due::{self, Due, Ending, Position};
use crate::store::outcomes::{Call, Record};
use crate::store::{Db, StoreError};

/// Messages of a lane looked at in a round.
const LOOKED_AT: i64 = 1_024;
/// Before every position.
const BEGINNING: Position = (Timestamp::UNIX_EPOCH, Uuid::nil());

/// Looks for them, round by round.
pub(super) struct Ends {
    unknown_deadline: Duration,
    positions: [Position; 2],
}

impl Ends {
    pub(super) fn new(unknown_deadline: Duration) -> Self {
        Self { unknown_deadline, positions: [BEGINNING; 2] }
    }

    /// What has come to an end among the next due messages of both lanes, at once, so that counters are locked in one order;
    /// and from where the next round is to go on, once this is committed.
    pub(super) async fn look(&self, db: &impl Db) -> Result<(Vec<Record>, [Position; 2]), StoreError> {
        let token = Uuid::new_v4();
        let mut ended = Vec::new();
        let mut positions = self.positions;
        for (lane, position) in Lane::ALL.into_iter().zip(&mut positions) {
            let ends = due::ends(db, lane, *position, LOOKED_AT, token).await?;
            ended.extend(ends.ended.iter().map(|due| self.record(due, token)));
            *position = ends.position.unwrap_or(BEGINNING);
        }
        Ok((ended, positions))
    }

    /// The next round goes on from there.
    pub(super) fn go_on(&mut self, positions: [Position; 2]) {
        self.positions = positions;
    }

    fn record(&self, due: &Due, token: Uuid) -> Record {
        let (next, error, reason) = match due.ending {
            Ending::Expired => (Next::Expired, Some("message_expired"), None),
            Ending::CallLost => {
                let reason = "the worker died during the call".to_owned();
                (Next::Unknown(self.unknown_deadline), None, Some(reason))
            }
            Ending::NoEvidence => (Next::Failed, Some("gateway_send_failed"), None),
        };
        let call = reason.map(|reason| Call {
            number: due.call,
            outcome: "unknown",
            code: None,
            reason: Some(reason),
            provider_message_id: None,
        });
        let reached_provider = due.ending != Ending::Expired;
        Record { key: due.key, token, call, next, reached_provider, error }
    }
}
