//! Judgement: may this be sent? Gathers what is known of the asker and asks the rules.
//!
//! What only the database can say exactly at the moment of the commit (quota, suppression, backlog) is judged there, in
//! `store::acceptance`, in the same order of precedence.

pub mod directory;

use std::sync::Arc;

use crate::domain::account::Limits;
use crate::domain::instance::Connection;
use crate::domain::purpose::Purpose;
use crate::domain::refusal::Refusal;
use crate::domain::send_request::{DeclaredPurpose, SendRequest};
use crate::store::StoreError;
use crate::store::directory::Key;
use directory::Directory;

/// What is known of a send before the commit.
#[derive(Debug)]
pub enum Judgement {
    /// It is refused, whatever the counters say.
    Refused(Refusal),
    /// It may go on to the counters.
    Passed {
        /// Its purpose.
        purpose: Purpose,
        /// The account's limits.
        limits: Limits,
        /// A refusal that comes after counters, suppression and throttling in precedence.
        held_back: Option<Refusal>,
    },
}

/// Judges a well-formed send.
///
/// # Errors
/// [`StoreError`] when the instance cannot be looked up.
pub async fn judge(
    directory: &Directory,
    key: &Key,
    request: &SendRequest,
) -> Result<Judgement, Arc<StoreError>> {
    if !key.account.api_access {
        return Ok(Judgement::Refused(Refusal::ModuleNotEnabled));
    }
    let Some(limits) = key.account.limits else {
        return Ok(Judgement::Refused(Refusal::ActivePlanRequired));
    };
    let Some(instance) = directory.instance(key.account.account_id, &request.instance_id).await? else {
        return Ok(Judgement::Refused(Refusal::InvalidInstance));
    };
    let purpose = match request.purpose {
        DeclaredPurpose::Missing => return Ok(Judgement::Refused(Refusal::PurposeRequired)),
        DeclaredPurpose::NotAllowed => return Ok(Judgement::Refused(Refusal::PurposeNotAllowed)),
        DeclaredPurpose::Allowed(purpose) => purpose,
    };
    let held_back = if instance.paused {
        Some(Refusal::InstancePaused)
    } else if instance.connection == Connection::Close {
        Some(Refusal::GatewaySendFailed)
    } else {
        None
    };
    Ok(Judgement::Passed { purpose, limits, held_back })
}
