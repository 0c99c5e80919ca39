//! What the readers of both payloads do with single values.

use jiff::Timestamp;
use serde_json::Value;

/// Ids that providers give are shorter by far; longer ones would not fit into an index.
const LONGEST_ID: usize = 512;
/// The first second of 2009: before WhatsApp nobody wrote anything.
const FIRST_SECOND: i64 = 1_230_768_000;

/// A text that is not empty. NUL characters go, because Postgres cannot store them in a text.
pub(super) fn text(value: &Value) -> Option<String> {
    let text = value.as_str()?.replace('\0', "");
    (!text.is_empty()).then_some(text)
}

/// An id: a text that is not empty, and no longer than ids are.
pub(super) fn id(value: &Value) -> Option<String> {
    text(value).filter(|id| id.len() <= LONGEST_ID)
}

/// When something was, as far as that can be true: not before WhatsApp was, and not after it was received.
pub(super) fn moment(seconds: i64, received_at: Timestamp) -> Option<Timestamp> {
    let moment = Timestamp::from_second(seconds).ok().filter(|_| seconds >= FIRST_SECOND)?;
    Some(moment.min(received_at))
}

#[cfg(test)]
mod tests {
    use super::{id, moment};
    use jiff::Timestamp;
    use serde_json::json;

    #[test]
    fn what_cannot_be_an_id_is_none() {
        for (value, expected) in [
            (json!("wamid.A=="), Some("wamid.A==")),
            (json!("a\0b"), Some("ab")),
            (json!(""), None),
            (json!(7), None),
            (json!("x".repeat(513)), None),
        ] {
            assert_eq!(id(&value).as_deref(), expected);
        }
    }

    #[test]
    fn times_lie_between_whatsapps_first_day_and_now() {
        let now = Timestamp::from_second(1_769_904_100).unwrap();
        for (seconds, expected) in [
            (1_769_904_000, Some(1_769_904_000)),
            (1_769_999_999, Some(1_769_904_100)),
            (i64::MAX, None),
            (-377_705_023_201, None),
            (0, None),
        ] {
            assert_eq!(moment(seconds, now).map(Timestamp::as_second), expected, "{seconds}");
        }
    }
}
