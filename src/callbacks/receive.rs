//! The providers' requests: Meta's handshake and its signed callbacks, and Evolution's to the addresses of its instances.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, Query, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tracing::{error, warn};

use super::{Receiver, evolution_payload, first_phone_number, metrics, signature};
use crate::domain::refusal::Refusal;
use crate::runtime::jwt;
use crate::runtime::secrets::{equal, sha256};
use crate::runtime::stage::Stage;
use crate::store::senders::Called;
use crate::store::{Session, StoreError, callbacks, senders};

/// Meta documents bodies of up to 3 MB.
const LARGEST_BODY: usize = 4 * 1024 * 1024;
/// As much as a connection may hold anyway: what says that it is no larger is read at once.
const SMALL_BODY: u64 = 64 * 1024;
/// What a token in an address can look like; others are not looked up.
const TOKEN_LENGTHS: RangeInclusive<usize> = 20..=200;
/// Who must wait longer for the look-up of a token, behind others who call, is told to come again.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// A burst may take this long to be stored; who has waited so long is to try again.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);
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
    let answer = take_meta(&receiver, &headers, body).await;
    metrics::count("meta", answer);
    answer
}

async fn take_meta(receiver: &Receiver, headers: &HeaderMap, body: Body) -> StatusCode {
    let secret = receiver.app_secret.as_ref().map_or("", |secret| secret.0.as_str());
    let header = headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok());
    // What cannot be valid is not read, and only so many bodies of strangers are held at once.
    if secret.is_empty() || !header.is_some_and(signature::is_well_formed) {
        warn!("refused a callback without a signature");
        return StatusCode::FORBIDDEN;
    }
    let body = match read(receiver, body).await {
        Ok(body) => body,
        Err(refusal) => return status(&refusal),
    };
    if !signature::verify(secret.as_bytes(), header, &body) {
        warn!(bytes = body.len(), "refused a callback without a valid signature");
        return StatusCode::FORBIDDEN;
    }
    // Only the row's place depends on it; times are read again when it is applied.
    let phone_number_id = first_phone_number(&body, Timestamp::UNIX_EPOCH);
    let hash = sha256(&body);
    let store = async |session: Session| {
        callbacks::store_meta(&session, phone_number_id.as_deref(), &hash, &body).await
    };
    match stored(receiver, store).await {
        Ok(()) => StatusCode::OK,
        // Meta tries again for days.
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// How long a token that Evolution signed counts after its end: it makes one for each event, good for ten minutes, and
/// posts the event with it for twenty minutes and more. Its clock may differ as well.
const JWT_LEEWAY: SignedDuration = SignedDuration::from_mins(30);

/// Takes a callback of Evolution's. Its address vouches for it, and where that was asked for a token as well: the body is
/// neither signed nor trusted to name its instance. Refused with 401, Evolution does not try again; with 500 it does, for about twenty minutes.
pub(super) async fn receive_evolution(
    State(receiver): State<Arc<Receiver>>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let response = match take_evolution(&receiver, &token, &headers, body).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refusal) => {
            warn!(error = refusal.code(), "refused a callback of Evolution's");
            (status(&refusal), Json(refusal.body())).into_response()
        }
    };
    metrics::count("evolution", response.status());
    response
}

async fn take_evolution(
    receiver: &Receiver,
    token: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), Refusal> {
    let called = named_by(receiver, token).await?;
    // Answered as if the address were nobody's: who cannot vouch for an event need not learn more.
    if !vouched_for(receiver, &called, headers)? {
        return Err(Refusal::UnknownCallbackToken);
    }
    let Called { account_id, instance_id, .. } = called;
    let body = read(receiver, body).await?;
    // What nothing follows from is not kept: it may hold a secret.
    let Some(body) = evolution_payload::worth_keeping(&body) else {
        warn!(
            account_id,
            instance_id, "a callback that may hold a secret, and of which nothing follows, is not kept"
        );
        return Ok(());
    };
    // The same body may come to two instances, and is two callbacks then.
    let hash = sha256(&[instance_id.as_bytes(), b"\n", &body].concat());
    let store = async |session: Session| {
        callbacks::store_evolution(&session, (account_id, &instance_id), &hash, &body).await
    };
    stored(receiver, store).await
}

/// Whether the request carries what the instance's server was told to send.
fn vouched_for(receiver: &Receiver, called: &Called, headers: &HeaderMap) -> Result<bool, Refusal> {
    let Some(sealed) = &called.jwt_key_sealed else { return Ok(true) };
    let context = senders::callback_context(called.account_id, &called.instance_id);
    let key = receiver.secret_key.open(&context, sealed).map_err(|error| {
        error!(account_id = called.account_id, instance_id = called.instance_id, %error, "cannot check a callback");
        Refusal::Internal
    })?;
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Ok(token.is_some_and(|(_, token)| jwt::is_valid(token.trim(), &key, receiver.clock.now(), JWT_LEEWAY)))
}

/// The instance whose address has that token. Tokens are found by their hash, so nothing secret is compared byte by byte,
/// and few are looked up at once, known or not.
async fn named_by(receiver: &Receiver, token: &str) -> Result<Called, Refusal> {
    let possible = TOKEN_LENGTHS.contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if !possible {
        return Err(Refusal::UnknownCallbackToken);
    }
    let look_up = async {
        let Ok(_place) = receiver.looking.acquire().await else { return Ok(None) };
        senders::by_callback_token(&receiver.pool.get().await?, &sha256(token.as_bytes())).await
    };
    let found = tokio::time::timeout(LOOK_UP_TIMEOUT, look_up).await.unwrap_or(Err(StoreError::Timeout));
    let found = found.map_err(|error: StoreError| {
        error!(%error, "cannot look up a callback's instance");
        Refusal::Internal
    })?;
    found.ok_or(Refusal::UnknownCallbackToken)
}

/// A whole body. Only so many large ones are held at once; who is slow with those keeps no small one waiting.
async fn read(receiver: &Receiver, body: Body) -> Result<Bytes, Refusal> {
    let small = body.size_hint().upper().is_some_and(|longest| longest <= SMALL_BODY);
    let _place =
        if small { None } else { Some(receiver.reading.acquire().await.map_err(|_| Refusal::Internal)?) };
    let limited = Limited::new(body, LARGEST_BODY).collect();
    match tokio::time::timeout(BODY_TIMEOUT, limited).await {
        Err(_) => Err(Refusal::RequestTimeout),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::PayloadTooLarge),
        Ok(Err(_)) => Err(Refusal::InvalidJson),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

/// Stores a callback when its turn has come, and announces a new one; says what kept it from being stored.
async fn stored(
    receiver: &Receiver,
    store: impl AsyncFnOnce(Session) -> Result<bool, StoreError>,
) -> Result<(), Refusal> {
    let in_turn = async {
        let _turn = receiver.storing.acquire().await;
        store(receiver.pool.get().await?).await
    };
    let in_time =
        async { tokio::time::timeout(STORE_TIMEOUT, in_turn).await.unwrap_or(Err(StoreError::Timeout)) };
    match Stage::CallbackStore.run(in_time).await {
        Ok(new) => {
            if new {
                receiver.arrived.notify_one();
            }
            Ok(())
        }
        Err(error) => {
            error!(%error, "a callback could not be stored");
            Err(Refusal::Internal)
        }
    }
}

fn status(refusal: &Refusal) -> StatusCode {
    StatusCode::from_u16(refusal.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
