//! What callbacks say, read once.

use metrics::counter;

use super::{evolution, meta};
use crate::callbacks::meta_payload::Update;
use crate::callbacks::{evolution_payload, meta_payload};
use crate::store::callbacks::{Callback, Origin};

/// What a callback reports of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reports {
    /// Nothing.
    None,
    /// So many times that one was sent, delivered or read, and the callback says nothing else.
    Arrivals(usize),
    /// Something, or it is not known whether.
    Others,
}

/// What a callback says, in its provider's words.
pub(super) enum Said {
    ByMeta(meta_payload::Payload),
    /// Of which instance, and what.
    ByEvolution(String, evolution_payload::Payload),
}

impl Said {
    /// What it reports of messages.
    pub(super) fn reports(&self) -> Reports {
        let Self::ByMeta(payload) = self else { return Reports::Others };
        let reports = payload.updates.iter().filter(|update| matches!(update, Update::Status { .. })).count();
        if meta::only_reports_arrivals(payload) {
            Reports::Arrivals(reports)
        } else if reports == 0 {
            Reports::None
        } else {
            Reports::Others
        }
    }

    /// Reads it.
    pub(super) fn read(callback: &Callback) -> Self {
        let (body, at) = (callback.body.as_slice(), callback.received_at);
        let (said, ignored, provider) = match &callback.origin {
            Origin::Meta => {
                let payload = meta::read(body, at);
                let ignored = payload.ignored;
                (Self::ByMeta(payload), ignored, "meta")
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
}
