//! How a customer verifies a webhook: the few lines of Standard Webhooks, without anything of the sending side.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::receiver::Webhook;
use crate::runtime::secrets::{equal, hmac_sha256};

/// How far the sender's clock may be from ours, in seconds; older ones may be replays.
const TOLERANCE: u64 = 300;

/// Whether the owner of `secret` signed the webhook at about `now`, in seconds since 1970.
pub fn verifies(secret: &str, webhook: &Webhook, now: i64) -> bool {
    let Webhook { id, timestamp, signature, body } = webhook;
    let is_recent = timestamp.parse::<i64>().is_ok_and(|sent| sent.abs_diff(now) <= TOLERANCE);
    let key = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    let Some(key) = key.filter(|_| is_recent) else { return false };
    let ours = hmac_sha256(&key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
    // Several, where a secret is being replaced.
    signature
        .split(' ')
        .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok())
        .any(|theirs| equal(&theirs, &ours))
}

#[cfg(test)]
mod tests {
    use super::{Webhook, verifies};
    use crate::runtime::secrets::new_webhook_secret;

    const NOW: i64 = 1_800_000_000;

    fn signed(secret: &str) -> Webhook {
        let body = r#"{"event":"message.read","note":"مرحبا"}"#;
        let signature = standardwebhooks::Webhook::new(secret).unwrap();
        let signature = signature.sign("evt_1", NOW, body.as_bytes()).unwrap();
        Webhook { id: "evt_1".into(), timestamp: NOW.to_string(), signature, body: body.into() }
    }

    #[test]
    fn what_the_standards_library_signs_verifies() {
        let secret = new_webhook_secret();
        assert!(verifies(&secret, &signed(&secret), NOW));
        assert!(verifies(&secret, &signed(&secret), NOW + 300));
        let both = format!("v1,AAAA v2,x {}", signed(&secret).signature);
        assert!(verifies(&secret, &Webhook { signature: both, ..signed(&secret) }, NOW));
    }

    #[test]
    fn anything_else_does_not() {
        let secret = new_webhook_secret();
        let good = || signed(&secret);
        let bare = good().signature.trim_start_matches("v1,").to_owned();
        let cases = [
            ("another secret", signed(&new_webhook_secret())),
            ("another id", Webhook { id: "evt_2".into(), ..good() }),
            ("another time", Webhook { timestamp: (NOW + 1).to_string(), ..good() }),
            ("no time", Webhook { timestamp: String::new(), ..good() }),
            ("another body", Webhook { body: "{}".into(), ..good() }),
            ("no signature", Webhook { signature: String::new(), ..good() }),
            ("no version", Webhook { signature: bare, ..good() }),
        ];
        for (name, webhook) in cases {
            assert!(!verifies(&secret, &webhook, NOW), "{name}");
        }
        assert!(!verifies(&secret, &good(), NOW + 301));
        assert!(!verifies("not a secret", &good(), NOW));
    }
}
