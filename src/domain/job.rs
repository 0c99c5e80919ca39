//! What a queue carries: ids only. The database holds the truth, so a job can be lost, doubled or stale without harm.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most ids in one job: enough to make publishing cheap, few enough to spread work over workers.
pub const MAX_IDS: usize = 64;

/// Version of the job format this build writes and reads.
const VERSION: u8 = 1;

/// Which stage a job is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Deliver messages: ids are [`super::id::MessageKey`]s.
    Deliver,
    /// Send webhooks: ids are [`super::id::DeliveryKey`]s.
    Notify,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    v: u8,
    kind: Kind,
    ids: Vec<String>,
}

/// A job that cannot be worked on: it belongs in the `parked` queue.
#[derive(Debug, thiserror::Error)]
pub enum PoisonJob {
    /// Not JSON of the job's shape.
    #[error("undecodable job: {0}")]
    Undecodable(#[from] serde_json::Error),
    /// A version this build does not know.
    #[error("job version {0} is not supported")]
    Version(u8),
    /// A job for another stage.
    #[error("job of another kind")]
    Kind,
    /// No ids, too many, or one that is not an id.
    #[error("job has bad ids")]
    Ids,
}

/// The jobs that carry `ids`, at most [`MAX_IDS`] in each, as message bodies.
#[must_use]
pub fn encode<Id: Display>(kind: Kind, ids: &[Id]) -> Vec<Vec<u8>> {
    ids.chunks(MAX_IDS)
        .map(|chunk| {
            let wire = Wire { v: VERSION, kind, ids: chunk.iter().map(ToString::to_string).collect() };
            serde_json::to_vec(&wire).expect("a struct of strings and numbers always serialises")
        })
        .collect()
}

/// The ids in a job's body.
///
/// # Errors
/// [`PoisonJob`] when the body is no job of this kind and version.
pub fn decode<Id: FromStr>(kind: Kind, body: &[u8]) -> Result<Vec<Id>, PoisonJob> {
    let wire: Wire = serde_json::from_slice(body)?;
    if wire.v != VERSION {
        return Err(PoisonJob::Version(wire.v));
    }
    if wire.kind != kind {
        return Err(PoisonJob::Kind);
    }
    if wire.ids.is_empty() || wire.ids.len() > MAX_IDS {
        return Err(PoisonJob::Ids);
    }
    wire.ids.iter().map(|id| id.parse().map_err(|_| PoisonJob::Ids)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Kind, MAX_IDS, PoisonJob, decode, encode};
    use crate::domain::id::{DeliveryKey, MessageKey};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use uuid::Uuid;

    proptest! {
        #[test]
        fn what_is_written_is_read_whatever_the_ids(
            ids in proptest::collection::vec((any::<i64>(), any::<u128>(), any::<u128>()), 1..150)
        ) {
            let ids: Vec<DeliveryKey> = ids
                .into_iter()
                .map(|(account_id, event, endpoint)| DeliveryKey {
                    account_id,
                    event_id: Uuid::from_u128(event),
                    endpoint_id: Uuid::from_u128(endpoint),
                })
                .collect();
            let jobs = encode(Kind::Notify, &ids);
            prop_assert_eq!(jobs.len(), ids.len().div_ceil(MAX_IDS));
            let read: Vec<DeliveryKey> =
                jobs.iter().flat_map(|job| decode(Kind::Notify, job).unwrap()).collect();
            prop_assert_eq!(read, ids);
            prop_assert!(jobs.iter().all(|job| decode::<MessageKey>(Kind::Deliver, job).is_err()));
        }
    }

    fn keys(count: u128) -> Vec<MessageKey> {
        (0..count).map(|n| MessageKey { account_id: 1, message_id: Uuid::from_u128(n) }).collect()
    }

    #[test]
    fn a_hundred_ids_travel_in_two_jobs() {
        let ids = keys(100);
        let jobs = encode(Kind::Deliver, &ids);
        assert_eq!(jobs.len(), 2);
        let read: Vec<MessageKey> =
            jobs.iter().flat_map(|job| decode::<MessageKey>(Kind::Deliver, job).unwrap()).collect();
        assert_eq!(read, ids);
    }

    #[test]
    fn the_wire_is_the_documented_one() {
        let jobs = encode(Kind::Deliver, &keys(1));
        let expected = r#"{"v":1,"kind":"deliver","ids":["1/00000000-0000-0000-0000-000000000000"]}"#;
        assert_eq!(String::from_utf8(jobs[0].clone()).unwrap(), expected);
    }

    #[test]
    fn poison_is_told_apart() {
        let many = format!(
            r#"{{"v":1,"kind":"deliver","ids":[{}]}}"#,
            vec![r#""1/00000000-0000-0000-0000-000000000000""#; MAX_IDS + 1].join(",")
        );
        type Expected = fn(&PoisonJob) -> bool;
        let cases: [(&str, Expected); 6] = [
            ("nonsense", |e| matches!(e, PoisonJob::Undecodable(_))),
            (r#"{"v":2,"kind":"deliver","ids":[]}"#, |e| matches!(e, PoisonJob::Version(2))),
            (r#"{"v":1,"kind":"notify","ids":["1/2"]}"#, |e| matches!(e, PoisonJob::Kind)),
            (r#"{"v":1,"kind":"deliver","ids":[]}"#, |e| matches!(e, PoisonJob::Ids)),
            (r#"{"v":1,"kind":"deliver","ids":["x"]}"#, |e| matches!(e, PoisonJob::Ids)),
            (&many, |e| matches!(e, PoisonJob::Ids)),
        ];
        for (body, expected) in cases {
            let error = decode::<MessageKey>(Kind::Deliver, body.as_bytes()).unwrap_err();
            assert!(expected(&error), "{body}: {error}");
        }
    }
}
