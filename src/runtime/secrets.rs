//! Keys made, hashed, sealed and compared. Nothing secret is stored in clear, nothing secret is printed by `Debug`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};

const NONCE_BYTES: usize = 24;

/// The 32 bytes everything at rest is protected with (`GATEPOST_SECRET_KEY`).
#[derive(Clone)]
pub struct SecretKey([u8; 32]);

/// Why something sealed could not be opened.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a stored secret cannot be decrypted with this GATEPOST_SECRET_KEY")]
pub struct CannotOpen;

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl SecretKey {
    /// Reads 32 bytes written in base64.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text.trim()).ok()?.try_into().ok().map(Self)
    }

    /// Encrypts a secret for the database. `context` says what it belongs to; it must be the same to open it, so a
    /// sealed value copied to another row is useless.
    #[must_use]
    pub fn seal(&self, context: &str, secret: &[u8]) -> Vec<u8> {
        let nonce = random_bytes::<NONCE_BYTES>();
        let payload = Payload { msg: secret, aad: context.as_bytes() };
        let sealed = self
            .cipher("seal")
            .encrypt(&XNonce::from(nonce), payload)
            .expect("encryption fails only for texts of more than 256 GiB");
        [nonce.as_slice(), &sealed].concat()
    }

    /// Decrypts what [`Self::seal`] made.
    ///
    /// # Errors
    /// [`CannotOpen`] for another key, another context, or altered bytes.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, CannotOpen> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(CannotOpen)?;
        let payload = Payload { msg: text, aad: context.as_bytes() };
        self.cipher("seal").decrypt(&XNonce::from(*nonce), payload).map_err(|_| CannotOpen)
    }

    /// A keyed hash of a phone number: equal numbers can be told in the policy log, the number cannot be read.
    #[must_use]
    pub fn phone_hash(&self, digits: &str) -> Vec<u8> {
        hmac_sha256(&self.derive("phone"), &[digits.as_bytes()]).to_vec()
    }

    /// 64 bits of a keyed hash of something of this kind: enough to count by, too little to know it by.
    #[must_use]
    pub fn fingerprint(&self, kind: &str, text: &str) -> i64 {
        let hash = hmac_sha256(&self.derive("fingerprint"), &[kind.as_bytes(), b":", text.as_bytes()]);
        hash.first_chunk().copied().map(i64::from_be_bytes).unwrap_or_default()
    }

    fn cipher(&self, purpose: &str) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.derive(purpose).into())
    }

    /// One key per use, so that none is used for two things.
    fn derive(&self, purpose: &str) -> [u8; 32] {
        hmac_sha256(&self.0, &[b"gatepost:", purpose.as_bytes()])
    }
}

/// HMAC-SHA256 over the parts in turn.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// A new API key: `gp_live_` and 256 random bits.
#[must_use]
pub fn new_api_key() -> String {
    format!("gp_live_{}", URL_SAFE_NO_PAD.encode(random_bytes::<32>()))
}

/// How an API key is stored. The key is random, so a plain hash cannot be guessed.
#[must_use]
pub fn api_key_hash(key: &str) -> Vec<u8> {
    Sha256::digest(key.as_bytes()).to_vec()
}

/// SHA-256 of any bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

/// A new webhook secret as Standard Webhooks writes it: `whsec_` and base64 of 32 random bytes.
#[must_use]
pub fn new_webhook_secret() -> String {
    format!("whsec_{}", STANDARD.encode(random_bytes::<32>()))
}

/// A new token for the address that an instance's provider reports to: 256 random bits. Stored is its [`sha256`].
#[must_use]
pub fn new_callback_token() -> String {
    URL_SAFE_NO_PAD.encode(random_bytes::<32>())
}

/// Whether two secrets are equal, in time that does not tell where they differ.
#[must_use]
pub fn equal(one: &[u8], other: &[u8]) -> bool {
    use subtle::ConstantTimeEq;
    one.ct_eq(other).into()
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::{SecretKey, api_key_hash, new_api_key, new_webhook_secret};

    fn key(byte: u8) -> SecretKey {
        SecretKey([byte; 32])
    }

    #[test]
    fn what_is_sealed_opens_only_with_the_same_key_and_context() {
        let sealed = key(1).seal("instance 1/a", b"token");
        assert!(!sealed.windows(5).any(|window| window == b"token"));
        assert_eq!(key(1).open("instance 1/a", &sealed).unwrap(), b"token");
        assert!(key(2).open("instance 1/a", &sealed).is_err());
        assert!(key(1).open("instance 2/a", &sealed).is_err());
        assert!(key(1).open("instance 1/a", &sealed[..10]).is_err());
    }

    #[test]
    fn keys_are_prefixed_and_never_repeat() {
        let (one, other) = (new_api_key(), new_api_key());
        assert!(one.starts_with("gp_live_") && one.len() == 51, "{}", one.len());
        assert_ne!(one, other);
        assert_ne!(api_key_hash(&one), api_key_hash(&other));
        assert!(new_webhook_secret().starts_with("whsec_"));
    }

    #[test]
    fn a_secret_key_is_32_bytes_in_base64_and_hidden_in_debug() {
        let key = SecretKey::from_base64("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
        assert_eq!(format!("{key:?}"), "SecretKey(…)");
        for text in ["", "AAAA", "not base64!"] {
            assert!(SecretKey::from_base64(text).is_none(), "{text}");
        }
    }
}
