//! What callbacks say, read once.

use metrics::counter;

use super::{evolution, meta};
use crate::callbacks::meta_payload::Update;
use crate::callbacks::{ReportedStatus, evolution_payload, meta_payload};
use crate::store::callbacks::{Callback, Origin};

/// What a callback says, in its provider's words.
pub(super) enum Said {
    /// Nothing but that messages of Meta's were sent, delivered or read, which concerns nobody else.
    Arrivals(meta_payload::Payload),
    /// Anything else of Meta's.
    ByMeta(meta_payload::Payload),
    /// Of which instance, and what.
    ByEvolution(String, evolution_payload::Payload),
}

impl Said {
    /// Whether it reports on messages, or may.
    pub(super) fn reports(&self) -> bool {
        match self {
            Self::ByMeta(payload) => {
                payload.updates.iter().any(|update| matches!(update, Update::Status { .. }))
            }
            Self::Arrivals(_) | Self::ByEvolution(..) => true,
        }
    }

    /// Reads it.
    pub(super) fn read(callback: &Callback) -> Self {
        let (body, at) = (callback.body.as_slice(), callback.received_at);
        let (said, ignored, provider) = match &callback.origin {
            Origin::Meta => {
                let payload = meta::read(body, at);
                let ignored = payload.ignored;
                (Self::by_meta(payload), ignored, "meta")
            }
            Origin::Evolution(instance_id) => {
                let payload = evolution::read(body, at);
                let ignored = payload.ignored;
                (Self::ByEvolution(instance_id.clone(), payload), ignored, "evolution")
            }
        };
        if ignored > 0 && !callback.heard {
            counter!("gatepost_callback_parts_ignored_total", "provider" => provider)
                .increment(u64::try_from(ignored).unwrap_or(u64::MAX));
        }
        said
    }

    pub(super) fn by_meta(payload: meta_payload::Payload) -> Self {
        let arrival = |update: &Update| match update {
            Update::Status { status, .. } => !matches!(status, ReportedStatus::Failed(_)),
            _ => false,
        };
        if payload.updates.iter().all(arrival) { Self::Arrivals(payload) } else { Self::ByMeta(payload) }
    }
}
