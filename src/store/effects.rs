//! What a failure does to others than its message, whoever met it: a worker in an answer, the gateway in a callback.

use super::recipients::{self, Change};
use super::{Db, StoreError, senders};
use crate::domain::effect::Effect;
use crate::domain::id::DeliveryKey;

/// Whom a failure concerns.
#[derive(Clone, Copy, Debug)]
pub struct Concerned<'a> {
    /// The tenant.
    pub account_id: i64,
    /// The sender.
    pub instance_id: &'a str,
    /// E.164 digits of the recipient; `None`: the failure is the sender's alone.
    pub recipient: Option<&'a str>,
    /// Why, in our own words.
    pub reason: &'a str,
}

/// Carries an effect out; doing it twice changes nothing. Gives the webhook deliveries owed for it.
///
/// # Errors
/// [`StoreError`].
pub async fn carry_out(
    db: &impl Db,
    concerned: Concerned<'_>,
    effect: Effect,
) -> Result<Vec<DeliveryKey>, StoreError> {
    let Concerned { account_id, instance_id, recipient, reason } = concerned;
    let sender = (account_id, instance_id);
    match (effect, recipient) {
        (Effect::Hold { pause, reach }, _) => senders::hold(db, sender, pause, reason, reach).await?,
        (Effect::Suspect, _) => return senders::suspect(db, sender, reason).await,
        (Effect::DelayPair { pause }, Some(recipient)) => {
            senders::delay_pair(db, sender, recipient, pause).await?;
        }
        (Effect::CoolDown { pause }, Some(recipient)) => {
            recipients::cool_down(db, account_id, recipient, pause).await?;
        }
        (Effect::OptOut, Some(recipient)) => {
            let reason = "recipient_stopped_marketing";
            let change = Change { account_id, instance_id, recipient, text: None, reason, at: None };
            return recipients::opt_out(db, change, false).await;
        }
        (Effect::DelayPair { .. } | Effect::CoolDown { .. } | Effect::OptOut, None) => {}
    }
    Ok(Vec::new())
}
