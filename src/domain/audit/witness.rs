//! What somebody outside remembers.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

/// The ledgers of those who were there. One that is there is taken for whole: it knows everything of the audited accounts
/// that happened until the audit began.
#[derive(Clone, Debug, Default)]
pub struct Witnesses {
    /// What senders were told, by message.
    pub accepted: Option<HashMap<Uuid, Accepted>>,
    /// The account and `Idempotency-Key` of requests whose answers were lost: each is no message, or exactly one.
    pub open_keys: HashSet<(i64, String)>,
    /// The calls that the provider got, by message.
    pub calls: Option<HashMap<Uuid, Vec<Call>>>,
    /// The webhooks that receivers got, by `webhook-id`.
    pub received: Option<HashMap<Uuid, Received>>,
}

/// What a sender was told of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The account that sent it.
    pub account_id: i64,
    /// Its `Idempotency-Key`.
    pub key: Option<String>,
    /// What the answer said.
    pub answered: Answered,
}

/// What the answer to a send said of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// 202: it is accepted.
    Queued,
    /// 200: the provider has it.
    Sent,
    /// 502: it has failed.
    Failed,
}

/// One call as the provider saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number, as our mark in it says.
    pub attempt: i16,
    /// The provider took the message, whether or not its answer arrived.
    pub accepted: bool,
}

/// One webhook as a receiver got it; of repeats any one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// `message_id`, of `message.*` alone.
    pub message_id: Option<Uuid>,
    /// `sequence`, of `message.*` alone.
    pub sequence: Option<i16>,
    /// `status`, of `message.*` alone.
    pub status: Option<String>,
}

/// What is remembered of one message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Witnessed<'a> {
    /// What its sender was told; `None`: nobody remembers what senders were told.
    pub told: Option<Told<'a>>,
    /// The calls the provider got for it; `None`: nobody remembers calls.
    pub calls: Option<&'a [Call]>,
}

/// What the sender of one message was told.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// This.
    Accepted(&'a Accepted),
    /// Its answer was lost.
    Lost,
    /// Nothing at all.
    Nothing,
}
