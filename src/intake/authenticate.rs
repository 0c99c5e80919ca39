//! Who asks: the bearer key.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::{Intake, client};
use crate::domain::refusal::Refusal;
use crate::runtime::http::Peer;
use crate::runtime::secrets::api_key_hash;
use crate::store::directory::Key;

/// What every key of ours begins with, and how long it is; anything else is not looked up.
const PREFIX: &str = "gp_live_";
const LENGTH: usize = 51;

/// The key of the request. Keys are found by their hash, so nothing secret is compared byte by byte.
///
/// A wrong one counts against its sender; a right one is never refused for what others tried.
pub(super) async fn authenticate(intake: &Intake, request: &Parts) -> Result<Arc<Key>, Refusal> {
    let claimed = bearer(&request.headers).ok_or(Refusal::InvalidApiKey)?;
    let Some(peer) = request.extensions.get::<Peer>() else { return Err(Refusal::Internal) };
    let address = client::address(peer.0, &request.headers, &intake.trusted_proxies);
    if !(claimed.starts_with(PREFIX) && claimed.len() == LENGTH) {
        return Err(wrong(intake, address, "").await);
    }
    let hash = api_key_hash(claimed);
    let directory = &intake.guard.directory;
    let _turn = if directory.was_right(&hash) {
        None
    } else {
        let turn = intake.guesses.turn(address, claimed, intake.guard.clock.now()).await;
        turn.map_err(|_| Refusal::Overloaded)?
    };
    let found = directory.key(hash).await.map_err(|error| {
        tracing::error!(%error, "cannot look up a key");
        Refusal::Internal
    })?;
    match found {
        None => Err(wrong(intake, address, claimed).await),
        Some(key) if key.revoked => Err(Refusal::RevokedApiKey),
        Some(key) => Ok(key),
    }
}

/// The refusal of a wrong key; its beginning counts where it has the shape of one of ours.
async fn wrong(intake: &Intake, address: IpAddr, claimed: &str) -> Refusal {
    let slowed = intake.guesses.wrong(address, claimed, intake.guard.clock.now()).await;
    metrics::counter!("gatepost_wrong_keys_total", "slowed" => if slowed.is_some() { "yes" } else { "no" })
        .increment(1);
    slowed.map_or(Refusal::InvalidApiKey, |wait| Refusal::TooManyWrongKeys {
        retry_after: u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1),
    })
}

/// What the request claims to be its key.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
}
