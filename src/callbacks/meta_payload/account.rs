//! What Meta says of a business account (WABA) and of what belongs to it, by the account's id alone.

use jiff::Timestamp;
use serde_json::Value;

/// What became of a business account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AccountNews {
    /// Its messages are restricted until these times.
    Restricted {
        /// Answers to customers, which are free text.
        texts: Option<Timestamp>,
        /// What the business begins, which are templates.
        templates: Option<Timestamp>,
    },
    /// It is disabled.
    Disabled,
    /// It is not disabled any more.
    Reinstated,
    /// It is deleted, or taken off the platform.
    Gone,
    /// Something for the operator to know.
    Other,
}

/// The restriction of answers to customers.
const OF_TEXTS: &str = "RESTRICTED_CUSTOMER_INITIATED_MESSAGING";
/// The restriction of what the business begins. Others are about numbers and templates' making.
const OF_TEMPLATES: &str = "RESTRICTED_BIZ_INITIATED_MESSAGING";

/// The longest word of Meta's that is logged.
const LONGEST_WORD: usize = 64;

/// What an `account_update` says.
pub(super) fn account_news(value: &Value) -> AccountNews {
    match value["event"].as_str() {
        Some("ACCOUNT_RESTRICTION") => match (restricted(value, OF_TEXTS), restricted(value, OF_TEMPLATES)) {
            (None, None) => AccountNews::Other,
            (texts, templates) => AccountNews::Restricted { texts, templates },
        },
        Some("DISABLED_UPDATE") => match value["ban_info"]["waba_ban_state"].as_str() {
            Some("DISABLE") => AccountNews::Disabled,
            Some("REINSTATE") => AccountNews::Reinstated,
            _ => AccountNews::Other,
        },
        Some("ACCOUNT_DELETED" | "ACCOUNT_OFFBOARDED") => AccountNews::Gone,
        _ => AccountNews::Other,
    }
}

/// When the last restriction of that kind ends.
fn restricted(value: &Value, kind: &str) -> Option<Timestamp> {
    let restrictions = value["restriction_info"].as_array().into_iter().flatten();
    let of_kind = restrictions.filter(|one| one["restriction_type"] == kind);
    of_kind.filter_map(|one| Timestamp::from_second(one["expiration"].as_i64()?).ok()).max()
}

/// The words by which Meta says what happened, as far as they are words of its own: capitals, digits and underscores.
pub(super) fn words(value: &Value) -> String {
    const PLACES: [&str; 8] = [
        "/event",
        "/ban_info/waba_ban_state",
        "/restriction_info/0/restriction_type",
        "/violation_info/violation_type",
        "/alert_info/alert_severity",
        "/alert_info/alert_type",
        "/current_limit",
        "/max_daily_conversations_per_business",
    ];
    let word = |place: &&str| match value.pointer(place)? {
        Value::String(word) => Some(word.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let is_a_word = |word: &String| {
        word.len() <= LONGEST_WORD
            && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    PLACES.iter().filter_map(word).filter(is_a_word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::{AccountNews, account_news, words};

    fn restriction(kinds: &[(&str, i64)]) -> Value {
        let restrictions: Vec<Value> = kinds
            .iter()
            .map(|(kind, until)| json!({"restriction_type": kind, "expiration": until}))
            .collect();
        json!({"event": "ACCOUNT_RESTRICTION", "restriction_info": restrictions})
    }

    #[test]
    fn an_account_is_restricted_disabled_reinstated_or_gone() {
        const BEGUN: &str = "RESTRICTED_BIZ_INITIATED_MESSAGING";
        const ANSWERED: &str = "RESTRICTED_CUSTOMER_INITIATED_MESSAGING";
        let at = |second: i64| Timestamp::from_second(second).ok();
        let disabled = |state| json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": state}});
        for (value, expected) in [
            (
                restriction(&[(BEGUN, 20), ("RESTRICTED_ADD_PHONE_NUMBER_ACTION", 90)]),
                AccountNews::Restricted { texts: None, templates: at(20) },
            ),
            (
                restriction(&[(BEGUN, 20), (ANSWERED, 30), (BEGUN, 10)]),
                AccountNews::Restricted { texts: at(30), templates: at(20) },
            ),
            (restriction(&[("RESTRICTED_ADD_PHONE_NUMBER_ACTION", 90)]), AccountNews::Other),
            (restriction(&[]), AccountNews::Other),
            (disabled("DISABLE"), AccountNews::Disabled),
            (disabled("REINSTATE"), AccountNews::Reinstated),
            (disabled("SCHEDULE_FOR_DISABLE"), AccountNews::Other),
            (json!({"event": "ACCOUNT_DELETED"}), AccountNews::Gone),
            (json!({"event": "ACCOUNT_OFFBOARDED"}), AccountNews::Gone),
            (json!({"event": "ACCOUNT_RECONNECTED"}), AccountNews::Other),
            (json!({}), AccountNews::Other),
        ] {
            assert_eq!(account_news(&value), expected, "{value}");
        }
    }

    #[test]
    fn only_words_of_metas_own_are_told() {
        let value = json!({"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "Call 966500000007"},
            "max_daily_conversations_per_business": 2000, "alert_info": {"alert_severity": "WARNING", "alert_type": {}}});
        assert_eq!(words(&value), "ACCOUNT_VIOLATION WARNING 2000");
    }
}
