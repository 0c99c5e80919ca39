//! The signature on Meta's callbacks: `X-Hub-Signature-256: sha256=<64 hexadecimal digits>`, the HMAC-SHA256 of the
//! body under the app's secret.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Whether `header` can be a signature at all, whatever it signs.
pub fn is_well_formed(header: &str) -> bool {
    let digits = header.strip_prefix("sha256=");
    digits.is_some_and(|digits| digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether `header` (the value of `X-Hub-Signature-256`) signs `body`.
///
/// `body` must be the bytes as received: Meta signs them with its own JSON escapes, so a body that was parsed and
/// written again never verifies. The comparison takes the same time wherever the values differ. An empty secret
/// verifies nothing, since anybody could sign with it.
///
/// A signature has no time in it, so a callback can be replayed; events are therefore deduplicated by their ids.
pub fn verify(app_secret: &[u8], header: Option<&str>, body: &[u8]) -> bool {
    let Some(digits) = header.and_then(|value| value.strip_prefix("sha256=")) else {
        return false;
    };
    let mut claimed = [0; 32];
    if app_secret.is_empty() || hex::decode_to_slice(digits, &mut claimed).is_err() {
        return false;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(app_secret).expect("HMAC takes a key of any length");
    mac.update(body);
    mac.verify_slice(&claimed).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::verify;

    const BODY: &[u8] = include_bytes!("../../tests/fixtures/meta/signed_body.raw");
    const VECTORS: &str = include_str!("../../tests/fixtures/meta/signatures.json");

    fn vectors() -> (Vec<u8>, String, Vec<Value>) {
        let vectors: Value = serde_json::from_str(VECTORS).expect("the fixture is JSON");
        let text = |name: &str| vectors[name].as_str().expect("a text").to_owned();
        let rejected = vectors["must_reject"].as_array().expect("a list").clone();
        (text("app_secret").into_bytes(), text("valid"), rejected)
    }

    #[test]
    fn the_right_signature_over_the_received_bytes_verifies() {
        let (secret, valid, _) = vectors();
        assert!(verify(&secret, Some(&valid), BODY));
    }

    #[test]
    fn every_wrong_signature_is_rejected() {
        let (secret, _, rejected) = vectors();
        assert!(!rejected.is_empty());
        for case in rejected {
            assert!(!verify(&secret, case["header"].as_str(), BODY), "{}", case["why"]);
        }
    }

    #[test]
    fn any_changed_byte_of_the_body_is_noticed() {
        let (secret, valid, _) = vectors();
        for position in 0..BODY.len() {
            let mut changed = BODY.to_vec();
            changed[position] ^= 1;
            assert!(!verify(&secret, Some(&valid), &changed), "byte {position}");
        }
    }

    #[test]
    fn an_empty_secret_verifies_nothing() {
        // The HMAC of an empty message under an empty key.
        let signed_by_anybody = "sha256=b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad";
        assert!(!verify(b"", Some(signed_by_anybody), b""));
    }
}
