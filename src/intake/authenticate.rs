//! Who asks: the bearer key.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::Intake;
use crate::domain::refusal::Refusal;
use crate::runtime::secrets::api_key_hash;
use crate::store::directory::Key;

/// What every key of ours begins with, and how long it is; anything else is not looked up.
const PREFIX: &str = "gp_live_";
const LENGTH: usize = 51;

/// The key of the request. Keys are found by their hash, so nothing secret is compared byte by byte.
pub(super) async fn authenticate(intake: &Intake, headers: &HeaderMap) -> Result<Arc<Key>, Refusal> {
    let key = bearer(headers).ok_or(Refusal::InvalidApiKey)?;
    let found = intake.guard.directory.key(api_key_hash(key)).await.map_err(|error| {
        tracing::error!(%error, "cannot look up a key");
        Refusal::Internal
    })?;
    match found {
        None => Err(Refusal::InvalidApiKey),
        Some(key) if key.revoked => Err(Refusal::RevokedApiKey),
        Some(key) => Ok(key),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && key.starts_with(PREFIX) && key.len() == LENGTH).then_some(key)
}
