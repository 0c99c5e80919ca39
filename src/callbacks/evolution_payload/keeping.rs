//! What of a body may be kept.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::event_name;

/// Where bodies carry a key of the server's: the instance's own, and in reports of errors the one for all instances.
const KEYS: [&str; 2] = ["apikey", "api_key"];

/// A body as it may be stored: without the server's keys. `None` for events that hold secrets and from which nothing
/// follows: codes to pair a phone with, and the server's own errors.
pub fn worth_keeping(body: &[u8]) -> Option<Cow<'_, [u8]>> {
    // What is no object is none of Evolution's bodies.
    let Ok(mut fields) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(body) else {
        return Some(Cow::Borrowed(body));
    };
    let event = fields.get("event").and_then(|event| serde_json::from_str::<String>(event.get()).ok());
    if event.is_some_and(|event| matches!(event_name(&event).as_str(), "qrcode.updated" | "error")) {
        return None;
    }
    let held = KEYS.map(|key| fields.remove(key).is_some_and(|value| value.get() != "null"));
    if held.contains(&true) {
        Some(Cow::Owned(serde_json::to_vec(&fields).expect("what was JSON is JSON")))
    } else {
        Some(Cow::Borrowed(body))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::worth_keeping;

    fn kept(body: &str) -> Option<String> {
        worth_keeping(body.as_bytes()).map(|kept| String::from_utf8_lossy(&kept).into_owned())
    }

    #[test]
    fn keys_are_left_out_and_nothing_else() {
        for body in
            ["", "stop", "[]", "{}", r#"{"event":"x","apikey":null}"#, r#"{"event":7, "data" : "apikey"}"#]
        {
            assert_eq!(kept(body).as_deref(), Some(body));
        }
        let body = r#"{"event":"x","data":{"apikey":"in a text","n":1.0e2,"t":"\ud800"},"apikey":"k1","api_key":"k2"}"#;
        let expected = r#"{"data":{"apikey":"in a text","n":1.0e2,"t":"\ud800"},"event":"x"}"#;
        assert_eq!(kept(body).as_deref(), Some(expected));
    }

    #[test]
    fn events_with_secrets_are_not_kept_at_all() {
        const CALLBACKS: &str = include_str!("../../../tests/fixtures/evolution/callbacks.json");
        const WIRE: &str = include_str!("../../../tests/fixtures/evolution/wire.json");
        let (callbacks, wire): (Value, Value) =
            (serde_json::from_str(CALLBACKS).expect("JSON"), serde_json::from_str(WIRE).expect("JSON"));
        for sample in [
            &callbacks["qrcode_updated"],
            &callbacks["qrcode_limit"],
            &wire["error_webhook_leaks_global_key"],
        ] {
            assert_eq!(kept(&sample.to_string()), None, "{sample}");
        }
        assert_eq!(kept(r#"{"event":"QRCODE_UPDATED"}"#), None);
    }
}
