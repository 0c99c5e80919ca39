//! What Meta does to a webhook body before it is sent, and how it names messages.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Escapes what is not ASCII as `\u` and four lowercase hexadecimal digits, in UTF-16 units, as Meta does before it
/// signs. In JSON such characters stand only inside strings.
pub fn ascii(json: String) -> String {
    if json.is_ascii() {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() * 2);
    let mut units = [0_u16; 2];
    for character in json.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut units) {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

/// The value of `X-Hub-Signature-256` for a body.
pub fn signature(app_secret: &str, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(app_secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// A new message id, built like Meta's: the number and 18 random digits, packed in base64.
pub fn message_id(number: &str) -> String {
    let unique = format!("{:018X}", rand::random::<u128>() >> 56);
    let mut id = vec![0x1c, 0x18, u8::try_from(number.len()).unwrap_or(u8::MAX)];
    id.extend_from_slice(number.as_bytes());
    id.extend_from_slice(&[0x15, 0x02, 0x00, 0x11, 0x18, 0x12]);
    id.extend_from_slice(unique.as_bytes());
    id.push(0);
    format!("wamid.{}", STANDARD.encode(id))
}

/// A body with its signature, computed outside of this program.
#[cfg(test)]
pub mod vector {
    /// The key.
    pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
    /// The id of the message in the body.
    pub const SIGNED_ID: &str = "wamid.HBgMOTY2NTAwMDAwMDAxFQIAERgSMDAwMEI3MDAwMDAwMDAwMDAyAA==";
    /// The body, an Arabic opt-out.
    pub const SIGNED_BODY: &str = concat!(
        r#"{"object":"whatsapp_business_account","entry":[{"id":"201234567890123","changes":[{"value":"#,
        r#"{"messaging_product":"whatsapp","metadata":{"display_phone_number":"966550009999","#,
        r#""phone_number_id":"109876543210987"},"contacts":[{"profile":{"name":"Test Customer"},"#,
        r#""wa_id":"966500000001"}],"messages":[{"from":"966500000001","#,
        r#""id":"wamid.HBgMOTY2NTAwMDAwMDAxFQIAERgSMDAwMEI3MDAwMDAwMDAwMDAyAA==","timestamp":"1767225721","#,
        r#""type":"text","text":{"body":"\u0625\u064a\u0642\u0627\u0641"}}]},"field":"messages"}]}]}"#,
    );
    /// Its signature.
    pub const SIGNATURE: &str = "sha256=df56de94bab08b76815fa63b17169fdf8e113bf062bf84cbd3a9a0c4b7955c02";
}

#[cfg(test)]
mod tests {
    use super::vector::{SECRET, SIGNATURE, SIGNED_BODY, SIGNED_ID};
    use super::{ascii, message_id, signature};

    #[test]
    fn the_signature_is_over_the_escaped_bytes() {
        assert_eq!(signature(SECRET, SIGNED_BODY.as_bytes()), SIGNATURE);
    }

    #[test]
    fn what_is_not_ascii_is_escaped_in_utf_16_units() {
        assert_eq!(ascii("\"a é \u{1f600}\"".to_owned()), r#""a \u00e9 \ud83d\ude00""#);
        assert_eq!(ascii(r#"{"a":"b"}"#.to_owned()), r#"{"a":"b"}"#);
    }

    #[test]
    fn message_ids_are_unique_and_as_long_as_metas() {
        let (one, other) = (message_id("966500000001"), message_id("966500000001"));
        assert_ne!(one, other);
        assert_eq!(one.len(), SIGNED_ID.len());
    }
}
