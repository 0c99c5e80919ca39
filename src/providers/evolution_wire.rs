//! Evolution API's wire: the requests' JSON, and what is read of the answers. It fits the versions 2.2.3 to 2.4.

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::evolution::{Sender, Vouching};
use super::{Outgoing, http};

/// The events a gateway acts on.
const EVENTS: [&str; 7] = [
    "MESSAGES_UPSERT",
    "MESSAGES_UPDATE",
    "SEND_MESSAGE",
    "CONNECTION_UPDATE",
    "STATUS_INSTANCE",
    "LOGOUT_INSTANCE",
    "REMOVE_INSTANCE",
];

/// The address of an action on this sender; `None` when its base address is not a URL.
pub(super) fn url(sender: &Sender<'_>, action: [&str; 2]) -> Option<Url> {
    let mut url = Url::parse(sender.base_url).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(action).push(sender.instance);
    Some(url)
}

/// A text message.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TextMessage<'a> {
    /// A string, because a JSON number is refused.
    number: &'a str,
    text: &'a str,
    /// Said, because otherwise the server fetches what the text links to.
    link_preview: bool,
    /// The id the message shall have. Versions before 2.4 pass over it and choose one.
    message_id: &'a str,
}

/// The request's body.
pub(super) fn text_message(message: &Outgoing<'_>) -> Vec<u8> {
    json(&TextMessage {
        number: message.to,
        text: message.text,
        link_preview: false,
        message_id: message.mark,
    })
}

#[derive(Serialize)]
struct SetWebhook<'a> {
    webhook: Webhook<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Webhook<'a> {
    enabled: bool,
    url: &'a str,
    headers: Vouching<'a>,
    by_events: bool,
    base64: bool,
    events: [&'static str; 7],
}

/// The request that points an instance's events at `url`, vouched for in this way. Everything is said: left out, `events` is
/// a fault, and empty it means all.
pub(super) fn set_webhook(url: &str, headers: Vouching<'_>) -> Vec<u8> {
    json(&SetWebhook {
        webhook: Webhook { enabled: true, url, headers, by_events: false, base64: false, events: EVENTS },
    })
}

fn json(request: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(request).expect("strings and booleans always have a JSON form")
}

#[derive(Deserialize)]
struct Answer {
    key: Key,
}

#[derive(Deserialize)]
struct Key {
    id: String,
}

/// The message id in the answer to an accepted send; it must be one that Postgres can store.
pub(super) fn accepted_id(body: &[u8]) -> Option<String> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    http::message_id(&answer.key.id)
}

/// The state in the answer to a look at the connection, where it is one of Evolution's; empty where the instance is not
/// loaded.
pub(super) fn connection_state(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let instance = answer["instance"].as_object()?;
    Some(instance.get("state").and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// What a refusal says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The number is not on WhatsApp, as far as the server knows.
    NotOnWhatsApp,
    /// The request does not fit the schema, or is not JSON: nothing was tried.
    Malformed,
    /// This and nothing else, without the prefix that tells an error from other words.
    Words(String),
    /// The server's licence is not activated.
    NotLicensed,
}

impl Refusal {
    /// Reads a refusal's body; `None` where it is not one of Evolution's, or says nothing, or several things.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let answer: Value = serde_json::from_slice(body).ok()?;
        if answer["code"] == "LICENSE_REQUIRED" {
            return Some(Self::NotLicensed);
        }
        let message = &answer["response"]["message"];
        // The one refusal whose name contradicts its status: the body was no JSON.
        if answer["status"] == 400 && answer["error"] == "Internal Server Error" {
            return Some(Self::Malformed);
        }
        let only = match message.as_array().map(Vec::as_slice) {
            Some([only]) => only,
            Some(_) => return None,
            None => message,
        };
        match only {
            Value::Array(_) => Some(Self::Malformed),
            Value::Object(found) if found.get("exists") == Some(&Value::Bool(false)) => {
                Some(Self::NotOnWhatsApp)
            }
            Value::String(words) => {
                let words = words.trim();
                Some(Self::Words(words.strip_prefix("Error: ").unwrap_or(words).to_owned()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{
        Outgoing, Refusal, Sender, Vouching, accepted_id, connection_state, set_webhook, text_message, url,
    };

    const WIRE: &str = include_str!("../../tests/fixtures/evolution/wire.json");

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("JSON is UTF-8")
    }

    #[test]
    fn a_text_message_is_written_exactly_like_this() {
        let body = "شكرا لكم، الطلب \"88\"\nجاهز";
        let bytes =
            text_message(&Outgoing { to: "966500000007", text: body, mark: "3EB05C6D7E8F9A0B1C2D3E" });
        let expected = include_str!("../../tests/fixtures/evolution/send_text_request.json");
        assert_eq!(text(bytes), expected.trim_end());
    }

    #[test]
    fn a_webhook_is_set_exactly_like_this() {
        let wire: Value = serde_json::from_str(WIRE).expect("JSON");
        let key = wire["webhook_jwt_vector"]["jwt_key"].as_str().expect("a key");
        for (sample, vouching) in [
            ("webhook_set_request", Vouching::Token("token")),
            ("webhook_set_request_jwt", Vouching::JwtKey(key)),
        ] {
            let bytes = set_webhook("https://gatepost.example.net/callbacks/evolution/token", vouching);
            assert_eq!(serde_json::from_slice::<Value>(&bytes).expect("JSON"), wire[sample], "{sample}");
        }
    }

    #[test]
    fn the_address_is_the_base_with_the_action_and_the_instance() {
        let url = |base_url, instance| {
            url(&Sender { base_url, instance, token: "t" }, ["message", "sendText"]).map(String::from)
        };
        let expected = Some("https://evo.example/message/sendText/shop-2".to_owned());
        assert_eq!(url("https://evo.example", "shop-2"), expected);
        assert_eq!(url("https://evo.example/", "shop-2"), expected);
        let below = url("http://h:8080/evo", "a/b?instanceName=c d");
        assert_eq!(below.as_deref(), Some("http://h:8080/evo/message/sendText/a%2Fb%3FinstanceName=c%20d"));
        for wrong in ["", "evo.example/x", "mailto:x@example.com"] {
            assert_eq!(url(wrong, "1"), None, "{wrong}");
        }
    }

    #[test]
    fn an_answer_without_a_usable_id_has_none() {
        let good = include_bytes!("../../tests/fixtures/evolution/send_text_response.json");
        assert_eq!(accepted_id(good).as_deref(), Some("3EB0F1E2D3C4B5A6978801"));
        let old = include_bytes!("../../tests/fixtures/evolution/send_text_response_v21.json");
        assert_eq!(accepted_id(old).as_deref(), Some("BAE5F1E2D3C4B5A6"));
        for body in ["", "<html>", "[]", "{}", r#"{"key":{}}"#, r#"{"key":{"id":""}}"#, r#"{"key":{"id":7}}"#]
        {
            assert_eq!(accepted_id(body.as_bytes()), None, "{body}");
        }
        assert_eq!(accepted_id(br#"{"key":{"id":"a\u0000b"}}"#), None);
    }

    #[test]
    fn a_state_is_absent_where_the_instance_is_not_loaded() {
        let state = |body: &str| connection_state(body.as_bytes());
        assert_eq!(state(r#"{"instance":{"instanceName":"s","state":"open"}}"#).as_deref(), Some("open"));
        assert_eq!(state(r#"{"instance":{"instanceName":"s"}}"#).as_deref(), Some(""));
        assert_eq!(state("<html>"), None);
    }

    #[test]
    fn a_refusal_counts_only_where_it_says_one_thing() {
        let words = |text: &str| Some(Refusal::Words(text.to_owned()));
        for (message, expected) in [
            (r#""Connection Closed""#, words("Connection Closed")),
            (r#"["Error: Connection Closed"]"#, words("Connection Closed")),
            (r#"["a","b"]"#, None),
            ("[]", None),
            ("null", None),
            ("7", None),
            (r#"[["x","y"]]"#, Some(Refusal::Malformed)),
            (r#"[{"exists":false}]"#, Some(Refusal::NotOnWhatsApp)),
            (r#"[{"exists":true}]"#, None),
            (r#"[{"exists":false},"x"]"#, None),
        ] {
            let body = format!(r#"{{"status":400,"response":{{"message":{message}}}}}"#);
            assert_eq!(Refusal::read(body.as_bytes()), expected, "{message}");
        }
        for body in ["", "<html>", "[]", "{}", r#"{"message":"Connection Closed"}"#] {
            assert_eq!(Refusal::read(body.as_bytes()), None, "{body}");
        }
    }
}
