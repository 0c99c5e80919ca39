//! Signatures as Standard Webhooks defines them, so that customers verify with libraries that exist.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use crate::runtime::secrets::hmac_sha256;

/// A signing key: the bytes a `whsec_…` secret stands for.
pub(super) struct SigningKey(Vec<u8>);

impl SigningKey {
    /// Reads a secret as customers are shown it; `None` where it is none.
    pub(super) fn parse(secret: &[u8]) -> Option<Self> {
        let encoded = secret.strip_prefix(b"whsec_")?;
        STANDARD.decode(encoded).ok().filter(|key| !key.is_empty()).map(Self)
    }
}

/// The value of `webhook-signature`: one signature for each key, so that a receiver who still has the former secret
/// and one who has the new one both find theirs.
pub(super) fn sign(keys: &[SigningKey], id: &str, at: Timestamp, payload: &str) -> String {
    let seconds = at.as_second().to_string();
    let parts = [id.as_bytes(), b".", seconds.as_bytes(), b".", payload.as_bytes()];
    let signatures: Vec<String> = keys
        .iter()
        .map(|SigningKey(key)| format!("v1,{}", STANDARD.encode(hmac_sha256(key, &parts))))
        .collect();
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::{SigningKey, sign};
    use crate::runtime::clock::Clock;
    use crate::runtime::secrets::new_webhook_secret;
    use reqwest::header::HeaderMap;
    use standardwebhooks::Webhook;

    const ID: &str = "0198c0de-0000-7000-8000-000000000001";
    const PAYLOAD: &str = r#"{"event":"message.delivered","to":"+966500000000"}"#;

    fn headers(signature: &str, seconds: i64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", ID.parse().unwrap());
        headers.insert("webhook-timestamp", seconds.into());
        headers.insert("webhook-signature", signature.parse().unwrap());
        headers
    }

    #[test]
    fn the_published_library_verifies_it_with_either_secret_of_a_rotation() {
        // The library checks against the machine's clock.
        let now = Clock::system().now();
        let secrets = [new_webhook_secret(), new_webhook_secret()];
        let keys: Vec<SigningKey> =
            secrets.iter().map(|secret| SigningKey::parse(secret.as_bytes()).unwrap()).collect();
        let headers = headers(&sign(&keys, ID, now, PAYLOAD), now.as_second());
        for secret in &secrets {
            let webhook = Webhook::new(secret).unwrap();
            webhook.verify(PAYLOAD.as_bytes(), &headers).unwrap();
            assert!(webhook.verify(b"{}", &headers).is_err());
        }
        let stranger = Webhook::new(&new_webhook_secret()).unwrap();
        assert!(stranger.verify(PAYLOAD.as_bytes(), &headers).is_err());
    }

    #[test]
    fn only_a_whsec_secret_is_a_key() {
        for secret in ["", "whsec_", "whsec_*", "c2VjcmV0", "WHSEC_c2VjcmV0"] {
            assert!(SigningKey::parse(secret.as_bytes()).is_none(), "{secret}");
        }
        assert!(SigningKey::parse(b"whsec_c2VjcmV0").is_some());
    }
}
