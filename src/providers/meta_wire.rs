//! The Cloud API's wire: the request's JSON, and what is read of its answers.

use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::meta::{Number, Sender};
use super::{Outgoing, http};
use crate::domain::meta_codes::MetaError;
use crate::domain::template::{Parameters, Template};

/// The address that takes messages for this sender; `None` when its base address is not a URL.
pub(super) fn messages_url(sender: &Sender<'_>) -> Option<Url> {
    let mut url = Url::parse(sender.base_url).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().extend([sender.phone_number_id, "messages"]);
    Some(url)
}

/// The address that tells of this sender's number; `None` when its base address is not a URL.
pub(super) fn number_url(sender: &Sender<'_>) -> Option<Url> {
    const FIELDS: &str = "display_phone_number,verified_name,quality_rating,throughput";
    let mut url = Url::parse(sender.base_url).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().push(sender.phone_number_id);
    url.query_pairs_mut().append_pair("fields", FIELDS);
    Some(url)
}

/// What the answer tells of a number.
pub(super) fn number(body: &[u8]) -> Option<Number> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    answer.is_object().then(|| Number {
        display_phone_number: text(&answer["display_phone_number"]),
        verified_name: text(&answer["verified_name"]),
        quality_rating: text(&answer["quality_rating"]),
        throughput: text(&answer["throughput"]["level"]),
    })
}

/// A message, its fields in the order of Meta's own examples.
#[derive(Serialize)]
struct Message<'a> {
    messaging_product: &'static str,
    recipient_type: &'static str,
    to: String,
    #[serde(flatten)]
    content: Content<'a>,
    biz_opaque_callback_data: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content<'a> {
    Text { text: Text<'a> },
    Template { template: Named<'a> },
}

#[derive(Serialize)]
struct Text<'a> {
    preview_url: bool,
    body: &'a str,
}

/// A template by its name.
#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    language: Language<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    components: Option<[Component<'a>; 1]>,
}

#[derive(Serialize)]
struct Language<'a> {
    code: &'a str,
}

/// What is filled into one part of a template.
#[derive(Serialize)]
struct Component<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    parameters: Vec<Parameter<'a>>,
}

#[derive(Serialize)]
struct Parameter<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter_name: Option<&'a str>,
    text: &'a str,
}

impl<'a> Named<'a> {
    fn new(template: &'a Template) -> Self {
        let parameter = |parameter_name, text| Parameter { kind: "text", parameter_name, text };
        let parameters: Vec<Parameter<'_>> = match &template.parameters {
            Parameters::Numbered(texts) => texts.iter().map(|text| parameter(None, text.as_str())).collect(),
            Parameters::Named(texts) => {
                texts.iter().map(|(name, text)| parameter(Some(name.as_str()), text.as_str())).collect()
            }
        };
        let components = (!parameters.is_empty()).then_some([Component { kind: "body", parameters }]);
        Self { name: &template.name, language: Language { code: &template.language }, components }
    }
}

/// The request's body: `template` in place of the message's text, where there is one.
pub(super) fn request(message: &Outgoing<'_>, template: Option<&Template>) -> Vec<u8> {
    let content = match template {
        Some(template) => Content::Template { template: Named::new(template) },
        None => Content::Text { text: Text { preview_url: false, body: message.text } },
    };
    let wire = Message {
        messaging_product: "whatsapp",
        recipient_type: "individual",
        // Without the plus, Meta may take the number for a local one of the sender's country.
        to: format!("+{}", message.to),
        content,
        biz_opaque_callback_data: message.mark,
    };
    serde_json::to_vec(&wire).expect("strings and booleans always have a JSON form")
}

#[derive(Deserialize)]
struct Answer {
    messages: Vec<AnswerMessage>,
}

#[derive(Deserialize)]
struct AnswerMessage {
    id: String,
}

/// The message id in the answer to an accepted send; it must be one that Postgres can store.
pub(super) fn accepted_id(body: &[u8]) -> Option<String> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    answer.messages.first().and_then(|message| http::message_id(&message.id))
}

/// The error object of a refusal.
pub(super) fn error(body: &[u8]) -> Option<MetaError> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    MetaError::from_json(&answer["error"])
}

/// Reads `x-business-use-case-usage`: the longest time, over all accounts and uses in it, until calls are accepted
/// again. Meta counts it in minutes; zero while nothing is blocked.
pub(super) fn regain_access(header: &str) -> Option<Duration> {
    let usage: Value = serde_json::from_str(header).ok()?;
    let minutes = usage
        .as_object()?
        .values()
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(|entry| entry["estimated_time_to_regain_access"].as_u64())
        .max()?;
    Some(Duration::from_secs(minutes.saturating_mul(60)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{Outgoing, Sender, accepted_id, messages_url, regain_access, request};
    use crate::domain::template::Template;

    #[test]
    fn a_text_message_is_written_exactly_like_this() {
        let text = "شكرا لكم، الطلب \"88\"\nجاهز";
        let bytes = request(&Outgoing { to: "966500000007", text, mark: "m_88:a_2" }, None);
        let expected = include_str!("../../tests/fixtures/meta/send_text_request.json");
        assert_eq!(String::from_utf8(bytes).expect("JSON is UTF-8"), expected.trim_end());
    }

    #[test]
    fn a_template_is_written_exactly_like_this() {
        let written = |template| {
            let template = Template::parse(&template).expect("a template");
            let message = Outgoing { to: "966500000007", text: "not sent", mark: "m_88:a_2" };
            String::from_utf8(request(&message, Some(&template))).expect("JSON is UTF-8")
        };
        let named = json!({"name": "parcel_ready_v1", "language": "ar",
            "parameters": {"who": "سارة", "parcel": "88"}});
        let expected = include_str!("../../tests/fixtures/meta/send_template_request.json");
        assert_eq!(written(named), expected.trim_end());
        let numbered = json!({"name": "parcel_ready_v2", "language": "en_US", "parameters": ["Sara", "88"]});
        let expected = include_str!("../../tests/fixtures/meta/send_template_positional_request.json");
        assert_eq!(written(numbered), expected.trim_end());
        let bare = written(json!({"name": "hello", "language": "ar"}));
        assert!(bare.contains(r#""template":{"name":"hello","language":{"code":"ar"}}"#), "{bare}");
    }

    #[test]
    fn the_address_is_the_base_with_the_senders_id() {
        let url = |base_url, phone_number_id| {
            messages_url(&Sender { base_url, phone_number_id, token: "t" }).map(String::from)
        };
        let expected = Some("https://graph.example/v23.0/10955/messages".to_owned());
        assert_eq!(url("https://graph.example/v23.0", "10955"), expected);
        assert_eq!(url("https://graph.example/v23.0/", "10955"), expected);
        assert_eq!(url("http://127.0.0.1:9", "1").as_deref(), Some("http://127.0.0.1:9/1/messages"));
        assert_eq!(url("http://h/v1", "a/b?c").as_deref(), Some("http://h/v1/a%2Fb%3Fc/messages"));
        for wrong in ["", "graph.example/v23.0", "mailto:x@example.com"] {
            assert_eq!(url(wrong, "1"), None, "{wrong}");
        }
    }

    #[test]
    fn an_answer_without_a_usable_id_has_none() {
        let good = include_bytes!("../../tests/fixtures/meta/send_text_response.json");
        assert_eq!(accepted_id(good).as_deref(), Some("wamid.SAMPLE0001=="));
        for body in ["", "<html>", "[]", "{}", r#"{"messages":[]}"#, r#"{"messages":[{}]}"#] {
            assert_eq!(accepted_id(body.as_bytes()), None, "{body}");
        }
        assert_eq!(accepted_id(br#"{"messages":[{"id":""}]}"#), None);
        assert_eq!(accepted_id(br#"{"messages":[{"id":7}]}"#), None);
    }

    #[test]
    fn the_longest_block_of_all_accounts_counts() {
        for (header, minutes) in [
            (r#"{"7":[{"type":"whatsapp","estimated_time_to_regain_access":4}]}"#, Some(4)),
            (
                r#"{"7":[{"estimated_time_to_regain_access":4},{"estimated_time_to_regain_access":9}],
                    "8":[{"estimated_time_to_regain_access":6},{"call_count":3}],"9":"?"}"#,
                Some(9),
            ),
            (r#"{"7":[{"estimated_time_to_regain_access":"4"}]}"#, None),
            ("{}", None),
            ("[]", None),
            ("not json", None),
        ] {
            assert_eq!(regain_access(header), minutes.map(|m| Duration::from_secs(m * 60)), "{header}");
        }
    }
}
