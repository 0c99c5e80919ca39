//! The body of a send, parsed once into what the rest of the program can rely on.

use serde::Deserialize;
use serde_json::Value;

use super::phone::PhoneNumber;
use super::purpose::Purpose;
use super::refusal::Refusal;
use super::template::Template;

/// The longest text, in UTF-16 units: the strictest reading of the provider's "4096 characters".
pub const LONGEST_MESSAGE: usize = 4096;

/// The longest instance id an operator can give.
pub const LONGEST_INSTANCE_ID: usize = 100;

/// A well-formed send; whether it is allowed is not decided yet.
#[derive(Debug)]
pub struct SendRequest {
    /// The sender, as the customer names it.
    pub instance_id: String,
    /// To whom.
    pub phone: PhoneNumber,
    /// The text, trimmed; of a template, as the recipient will read it.
    pub message: String,
    /// The template that is sent in its place.
    pub template: Option<Template>,
    /// Why.
    pub purpose: DeclaredPurpose,
    /// Seconds after which it is not worth sending any more, where the customer shortens it.
    pub validity_seconds: Option<u32>,
}

/// What `message_purpose` says; it is judged after the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclaredPurpose {
    /// Nothing.
    Missing,
    /// A known-refused purpose, or something else that is not allowed.
    NotAllowed,
    /// One of the five.
    Allowed(Purpose),
}

/// The members that have a meaning here. Unknown ones are ignored; a repeated one makes the body ambiguous and is
/// refused by the deserialiser.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Raw {
    instance_id: Value,
    phone: Value,
    message: Value,
    message_purpose: Value,
    validity_seconds: Value,
    template: Value,
    #[serde(rename = "type")]
    kind: Value,
    media: Value,
    media_url: Value,
    image: Value,
    document: Value,
    audio: Value,
    video: Value,
    file: Value,
    caption: Value,
}

/// Parses the body of a send.
///
/// # Errors
/// [`Refusal::InvalidJson`] where it is no JSON or names a member twice, [`Refusal::Validation`] naming exactly the
/// fields that are missing or invalid, in the catalogue's order.
pub fn parse(body: &[u8]) -> Result<SendRequest, Refusal> {
    let raw = raw(body)?;
    let instance_id = text(&raw.instance_id).filter(|id| id.chars().count() <= LONGEST_INSTANCE_ID);
    let phone = raw.phone.as_str().and_then(PhoneNumber::parse);
    let message = text(&raw.message).filter(|text| text.encode_utf16().count() <= LONGEST_MESSAGE);
    let validity = validity(&raw.validity_seconds);
    let template = template(&raw.template);

    let mut fields: Vec<String> = Vec::new();
    let required = [
        ("instance_id", instance_id.is_none()),
        ("phone", phone.is_none()),
        ("message", message.is_none()),
        ("validity_seconds", validity.is_err()),
        ("template", template.is_err()),
    ];
    fields.extend(required.into_iter().filter(|(_, bad)| *bad).map(|(name, _)| name.to_owned()));
    fields.extend(raw.media_fields());

    match (instance_id, phone, message, validity, template) {
        (Some(instance_id), Some(phone), Some(message), Ok(validity_seconds), Ok(template))
            if fields.is_empty() =>
        {
            let purpose = purpose(&raw.message_purpose);
            Ok(SendRequest { instance_id, phone, message, template, purpose, validity_seconds })
        }
        _ => Err(Refusal::Validation(fields)),
    }
}

fn raw(body: &[u8]) -> Result<Raw, Refusal> {
    // All of it: the deserialiser does not look into texts that it skips.
    let body = std::str::from_utf8(body).map_err(|_| Refusal::InvalidJson)?;
    match serde_json::from_str::<Raw>(body) {
        Ok(raw) => Ok(raw),
        // Well-formed, but no object: every required field is missing. A doubled member is a data error as well,
        // but of an object.
        Err(error) if error.is_data() && !body.trim_ascii_start().starts_with('{') => {
            serde_json::from_str::<serde::de::IgnoredAny>(body).map_err(|_| Refusal::InvalidJson)?;
            Ok(Raw::default())
        }
        Err(_) => Err(Refusal::InvalidJson),
    }
}

/// A trimmed text that is not empty and that the database can hold.
fn text(value: &Value) -> Option<String> {
    let text = value.as_str()?.trim();
    (!text.is_empty() && !text.contains('\0')).then(|| text.to_owned())
}

fn validity(value: &Value) -> Result<Option<u32>, ()> {
    match value {
        Value::Null => Ok(None),
        value => value
            .as_u64()
            .and_then(|seconds| u32::try_from(seconds).ok())
            .filter(|seconds| *seconds > 0)
            .map(Some)
            .ok_or(()),
    }
}

fn template(value: &Value) -> Result<Option<Template>, ()> {
    match value {
        Value::Null => Ok(None),
        value => Template::parse(value).map(Some).ok_or(()),
    }
}

fn purpose(value: &Value) -> DeclaredPurpose {
    match value {
        Value::Null => DeclaredPurpose::Missing,
        Value::String(name) if name.trim().is_empty() => DeclaredPurpose::Missing,
        Value::String(name) => {
            Purpose::parse(name).map_or(DeclaredPurpose::NotAllowed, DeclaredPurpose::Allowed)
        }
        _ => DeclaredPurpose::NotAllowed,
    }
}

impl Raw {
    /// Media is not exposed until it passes the same checks as text: members that ask for it are invalid.
    fn media_fields(&self) -> impl Iterator<Item = String> + '_ {
        let not_text = match self.kind.as_str() {
            Some("text") => false,
            Some("template") => self.template.is_null(),
            _ => !self.kind.is_null(),
        };
        let named = [
            ("media", &self.media),
            ("media_url", &self.media_url),
            ("image", &self.image),
            ("document", &self.document),
            ("audio", &self.audio),
            ("video", &self.video),
            ("file", &self.file),
            ("caption", &self.caption),
        ];
        let media = named.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.to_owned());
        media.chain(not_text.then(|| "type".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::{DeclaredPurpose, parse};
    use crate::domain::purpose::Purpose;
    use crate::domain::refusal::Refusal;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    fn fields(body: &str) -> Vec<String> {
        match parse(body.as_bytes()) {
            Err(Refusal::Validation(fields)) => fields,
            other => panic!("{body}: {other:?}"),
        }
    }

    fn with(extra: &str) -> String {
        format!(r#"{{"instance_id":"i","phone":"+966500000001","message":"Hello"{extra}}}"#)
    }

    #[test]
    fn a_good_request_is_read() {
        let request =
            parse(with(r#","message_purpose":"support","unknown":[1],"type":"text""#).as_bytes()).unwrap();
        assert_eq!(request.instance_id, "i");
        assert_eq!(request.phone.digits(), "966500000001");
        assert_eq!(request.purpose, DeclaredPurpose::Allowed(Purpose::Support));
        assert_eq!(request.validity_seconds, None);
    }

    #[test]
    fn exactly_the_bad_fields_are_named_in_the_catalogues_order() {
        let long = "x".repeat(4097);
        let cases: Vec<(String, &[&str])> = vec![
            ("{}".into(), &["instance_id", "phone", "message"]),
            ("[]".into(), &["instance_id", "phone", "message"]),
            ("null".into(), &["instance_id", "phone", "message"]),
            (r#"{"message":"x","instance_id":5}"#.into(), &["instance_id", "phone"]),
            (r#"{"instance_id":"i","phone":"12","message":"  "}"#.into(), &["phone", "message"]),
            (r#"{"instance_id":"i","phone":"+966500000001","message":"a\u0000b"}"#.into(), &["message"]),
            (format!(r#"{{"instance_id":"i","phone":"+966500000001","message":"{long}"}}"#), &["message"]),
            (with(r#","media_url":"https://x","type":"image""#), &["media_url", "type"]),
            (with(r#","validity_seconds":0"#), &["validity_seconds"]),
            (with(r#","validity_seconds":"60""#), &["validity_seconds"]),
            (with(r#","template":"order_ready","type":"template""#), &["template"]),
            (
                with(r#","template":{"name":"a"},"image":"x","validity_seconds":0"#),
                &["validity_seconds", "template", "image"],
            ),
            (with(r#","type":"template""#), &["type"]),
        ];
        for (body, expected) in cases {
            assert_eq!(fields(&body), expected, "{body}");
        }
    }

    #[test]
    fn the_longest_message_is_4096_utf16_units() {
        let body =
            |text: &str| format!(r#"{{"instance_id":"i","phone":"+966500000001","message":"{text}"}}"#);
        assert!(parse(body(&"م".repeat(4096)).as_bytes()).is_ok());
        assert!(parse(body(&"😀".repeat(2048)).as_bytes()).is_ok());
        assert!(parse(body(&"😀".repeat(2049)).as_bytes()).is_err());
    }

    #[test]
    fn ambiguous_or_broken_json_is_invalid() {
        let deep = "[".repeat(100_000);
        let deep_member = with(&format!(r#","x":{deep}"#));
        let twice = with(r#","phone":"+966500000002""#);
        let latin1 = b"{\"message\":\"\xe9\"}";
        let skipped = b"{\"x\":\"\xc0\x80\"}";
        for body in ["", "{", "nonsense", "{\"a\":1} x", "[1", &deep, &deep_member, &twice] {
            assert_eq!(parse(body.as_bytes()).unwrap_err(), Refusal::InvalidJson, "{body:.40}");
        }
        assert_eq!(parse(latin1).unwrap_err(), Refusal::InvalidJson);
        assert_eq!(parse(skipped).unwrap_err(), Refusal::InvalidJson);
    }

    #[test]
    fn a_purpose_is_missing_refused_or_allowed() {
        let purpose = |extra: &str| parse(with(extra).as_bytes()).unwrap().purpose;
        assert_eq!(purpose(""), DeclaredPurpose::Missing);
        assert_eq!(purpose(r#","message_purpose":null"#), DeclaredPurpose::Missing);
        assert_eq!(purpose(r#","message_purpose":" ""#), DeclaredPurpose::Missing);
        assert_eq!(purpose(r#","message_purpose":"marketing""#), DeclaredPurpose::NotAllowed);
        assert_eq!(purpose(r#","message_purpose":7"#), DeclaredPurpose::NotAllowed);
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = parse(&body);
        }

        #[test]
        fn what_is_accepted_can_be_stored_and_sent(
            id in r"\PC{0,120}|.{0,8}", message in r"\PC{0,60}|.{0,8}", seconds in -5_i64..5_000_000_000
        ) {
            let body = serde_json::json!({"instance_id": id, "phone": "+966500000001", "message": message,
                "validity_seconds": seconds});
            match parse(body.to_string().as_bytes()) {
                Ok(request) => {
                    prop_assert_eq!(&request.instance_id, id.trim());
                    prop_assert_eq!(&request.message, message.trim());
                    prop_assert!(!request.message.is_empty() && !request.message.contains('\0'));
                    prop_assert_eq!(request.validity_seconds.map(i64::from), Some(seconds));
                }
                Err(Refusal::Validation(fields)) => prop_assert!(!fields.is_empty()),
                Err(refusal) => prop_assert!(false, "{:?}", refusal),
            }
        }

        #[test]
        fn no_json_text_makes_it_panic(text in "[\\{\\}\\[\\]\":,a-z0-9 \\\\]{0,200}") {
            let _ = parse(text.as_bytes());
        }
    }
}
