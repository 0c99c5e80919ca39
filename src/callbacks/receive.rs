//! The providers' requests: Meta's handshake, and its signed callbacks.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::Timestamp;
use serde::Deserialize;
use tracing::{error, warn};

use super::{Receiver, first_phone_number, signature};
use crate::runtime::secrets::{equal, sha256};
use crate::store::callbacks;

/// Meta documents bodies of up to 3 MB.
const LARGEST_BODY: usize = 4 * 1024 * 1024;
/// A provider has this long to send one.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// The query of the handshake; its names contain dots.
#[derive(Deserialize)]
pub(super) struct Handshake {
    #[serde(rename = "hub.mode")]
    mode: Option<String>,
    #[serde(rename = "hub.challenge")]
    challenge: Option<String>,
    #[serde(rename = "hub.verify_token")]
    verify_token: Option<String>,
}

/// Proves to Meta that the address is ours: the challenge back, if the token is the one we gave.
pub(super) async fn handshake(
    State(receiver): State<Arc<Receiver>>,
    Query(query): Query<Handshake>,
) -> (StatusCode, String) {
    let known = receiver.verify_token.as_ref().zip(query.verify_token.as_ref());
    let trusted = known.is_some_and(|(ours, theirs)| equal(ours.0.as_bytes(), theirs.as_bytes()));
    if trusted && query.mode.as_deref() == Some("subscribe") {
        (StatusCode::OK, query.challenge.unwrap_or_default())
    } else {
        (StatusCode::FORBIDDEN, String::new())
    }
}

/// Takes a callback: verified, then stored, then answered. It is applied afterwards.
pub(super) async fn receive(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Body,
) -> StatusCode {
    let secret = receiver.app_secret.as_ref().map_or("", |secret| secret.0.as_str());
    let header = headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok());
    // What cannot be valid is not read, and only so many bodies of strangers are held at once.
    if secret.is_empty() || !header.is_some_and(signature::is_well_formed) {
        warn!("refused a callback without a signature");
        return StatusCode::FORBIDDEN;
    }
    let Ok(_place) = receiver.reading.acquire().await else { return StatusCode::SERVICE_UNAVAILABLE };
    let limited = Limited::new(body, LARGEST_BODY).collect();
    let body = match tokio::time::timeout(BODY_TIMEOUT, limited).await {
        Err(_) => return StatusCode::REQUEST_TIMEOUT,
        Ok(Err(error)) if error.is::<LengthLimitError>() => return StatusCode::PAYLOAD_TOO_LARGE,
        Ok(Err(_)) => return StatusCode::BAD_REQUEST,
        Ok(Ok(body)) => body.to_bytes(),
    };
    if !signature::verify(secret.as_bytes(), header, &body) {
        warn!(bytes = body.len(), "refused a callback without a valid signature");
        return StatusCode::FORBIDDEN;
    }
    // Only the row's place depends on it; times are read again when it is applied.
    let phone_number_id = first_phone_number(&body, Timestamp::UNIX_EPOCH);
    let store = async {
        let session = receiver.pool.get().await?;
        callbacks::store(&session, "meta", phone_number_id.as_deref(), &sha256(&body), &body).await
    };
    match store.await {
        Ok(new) => {
            if new {
                receiver.arrived.notify_one();
            }
            StatusCode::OK
        }
        // Meta tries again for days.
        Err(error) => {
            error!(%error, "a callback could not be stored");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
