//! Meta's error codes: what each one means for a message.
//!
//! The codes are listed in `table`; here is how an error is read and looked up. The tests hold the table to
//! `tests/fixtures/meta/codes.tsv`, which says the same in plain rows.

mod table;

use std::time::Duration;

use serde_json::Value;

use self::table::{CODES, OBJECT_MISSING, Row, SHORT_PAUSE, row};
use super::outcome::{Class, Detail, Failure};

/// Attempts in all for a failure that may well be a refusal in disguise.
pub const FEW_ATTEMPTS: u8 = 5;

/// How long a sender waits after a rate limit of unknown kind, when the answer gives no time itself.
pub const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(SHORT_PAUSE);

/// One error as Meta reports it: in the answer to a send, in a `failed` status, or for a whole sender.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MetaError {
    /// What decides. Meta advises against relying on titles, subcodes or the HTTP status.
    pub code: i32,
    /// `error_subcode`, which refines a few generic codes.
    pub subcode: Option<i32>,
    /// `type`, for example `OAuthException`. Absent in webhooks.
    pub kind: Option<String>,
    /// `is_transient`: Meta expects a later try to pass.
    pub transient: bool,
    /// Meta's explanation, for the attempt's record.
    pub detail: Option<Detail>,
}

impl MetaError {
    /// Reads an error object of either shape (HTTP answer or webhook item). Only the code is required;
    /// `error_data` may be an object or a plain string.
    pub fn from_json(error: &Value) -> Option<Self> {
        let words = [
            &error["error_data"]["details"],
            &error["error_data"],
            &error["error_user_msg"],
            &error["message"],
            &error["title"],
        ];
        Some(Self {
            code: integer(&error["code"])?,
            subcode: integer(&error["error_subcode"]),
            kind: error["type"].as_str().map(str::to_owned),
            transient: error["is_transient"].as_bool().unwrap_or(false),
            detail: words.into_iter().find_map(Value::as_str).and_then(Detail::new),
        })
    }
}

/// A JSON number, or one in a string.
fn integer(value: &Value) -> Option<i32> {
    match value {
        Value::String(digits) => digits.parse().ok(),
        number => number.as_i64().and_then(|wide| i32::try_from(wide).ok()),
    }
}

/// What `error` means for the message, the recipient and the sender.
///
/// `http` is the status of the answer that carried the error, `None` for an error from a webhook; it matters only
/// for codes that the table does not know.
pub fn classify(error: &MetaError, http: Option<u16>) -> Failure {
    let row = if error.code == 100 && error.subcode == Some(33) && is_graph_method_exception(error) {
        OBJECT_MISSING
    } else {
        CODES.iter().find(|row| row.covers(error.code)).copied().unwrap_or_else(|| closing_row(error, http))
    };
    let code = error.code;
    let reason = match error.subcode {
        Some(subcode) => format!("meta {code}/{subcode}: {}", row.note),
        None => format!("meta {code}: {}", row.note),
    };
    Failure {
        class: row.class,
        code: Some(code),
        reason,
        detail: error.detail.clone(),
        retry_after: row.wait,
        retry_limit: row.limit,
        opt_out: row.opt_out,
        scope: row.scope,
    }
}

fn is_graph_method_exception(error: &MetaError) -> bool {
    error.kind.as_deref() == Some("GraphMethodException")
}

/// A code that the table does not know: by Meta's hint, else by the HTTP status. In a webhook there is no status,
/// and the message has certainly failed.
fn closing_row(error: &MetaError, http: Option<u16>) -> Row {
    match http {
        _ if error.transient => row(0, Class::Retry, "unlisted code, said to be transient"),
        Some(500..=599) => row(0, Class::Retry, "unlisted code, server error").limit(FEW_ATTEMPTS),
        Some(429) => row(0, Class::ThrottleSender, "unlisted code, too many requests").wait(SHORT_PAUSE),
        Some(401 | 403) => row(0, Class::Instance, "unlisted code, not authorised"),
        _ => row(0, Class::Permanent, "unlisted code, refused"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::table::CODES;
    use super::{MetaError, classify};
    use crate::domain::outcome::Detail;

    const TABLE: &str = include_str!("../../../tests/fixtures/meta/codes.tsv");

    /// The rows of the fixture, a range split into its two ends.
    fn rows() -> Vec<(i32, Vec<&'static str>)> {
        let mut rows = Vec::new();
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let cells: Vec<_> = line.split('\t').collect();
            assert_eq!(cells.len(), 12, "{line}");
            let (first, last) =
                cells[0].split_once("-").filter(|ends| !ends.0.is_empty()).unwrap_or((cells[0], ""));
            for code in [first, last].into_iter().filter(|code| !code.is_empty()) {
                rows.push((code.parse().expect(line), cells.clone()));
            }
        }
        rows
    }

    fn number<T: std::str::FromStr>(cell: &str) -> Option<T> {
        cell.parse().ok()
    }

    #[test]
    fn every_row_of_the_document_is_read_as_it_says() {
        for (code, cells) in rows() {
            let error = MetaError {
                code,
                subcode: number(cells[1]),
                kind: (cells[2] != "-").then(|| cells[2].to_owned()),
                transient: cells[4] == "yes",
                detail: None,
            };
            let failure = classify(&error, number(cells[3]));
            let wait = number(cells[7]).map(Duration::from_secs);
            assert_eq!(failure.class.as_str(), cells[5], "{cells:?}");
            assert_eq!(failure.scope.as_str(), cells[6], "{cells:?}");
            assert_eq!(failure.retry_after, wait, "{cells:?}");
            assert_eq!(failure.retry_limit, number(cells[8]), "{cells:?}");
            assert_eq!(failure.opt_out, cells[9] == "yes", "{cells:?}");
            assert_eq!(failure.code, Some(code));
            assert!(failure.reason.starts_with(&format!("meta {code}")), "{}", failure.reason);
        }
    }

    #[test]
    fn every_code_of_the_table_is_in_the_document_once() {
        for listed in CODES {
            assert!(
                rows().iter().any(|(code, _)| listed.covers(*code)),
                "{} is not in codes.tsv",
                listed.note
            );
        }
        for (code, _) in rows() {
            assert!(CODES.iter().filter(|listed| listed.covers(code)).count() <= 1, "{code} is listed twice");
        }
    }

    #[test]
    fn an_error_object_is_read_leniently() {
        let cases = [
            (
                json!({"code": 131026, "error_data": {"details": "why"}, "message": "m"}),
                Some((131_026, "why")),
            ),
            (json!({"code": 100, "error_data": "plain words", "message": "m"}), Some((100, "plain words"))),
            (json!({"code": "190", "error_data": {"details": 7}, "message": "m"}), Some((190, "m"))),
            (json!({"code": 131026, "title": "t", "href": "/x"}), Some((131_026, "t"))),
            (json!({"code": 5_000_000_000_u64}), None),
            (json!({"message": "no code"}), None),
            (json!("words"), None),
            (Value::Null, None),
        ];
        for (object, expected) in cases {
            let read = MetaError::from_json(&object);
            assert_eq!(
                read.as_ref().map(|error| (error.code, error.detail.as_ref().map_or("", Detail::as_str))),
                expected,
                "{object}"
            );
        }
    }

    #[test]
    fn a_reason_never_repeats_what_meta_says() {
        let object =
            json!({"code": 131009, "error_subcode": 7, "error_data": {"details": "to: 966500000001"}});
        let failure = classify(&MetaError::from_json(&object).expect("it has a code"), Some(400));
        assert_eq!(failure.reason, "meta 131009/7: parameter value invalid");
        assert!(!format!("{failure:?}").contains("966"));
        assert_eq!(failure.detail.expect("kept for the record").as_str(), "to: 966500000001");
    }
}
