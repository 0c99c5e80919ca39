//! What Meta says of business accounts, and to which of them our numbers belong.

use std::collections::HashSet;

use tracing::{error, info, warn};

use crate::callbacks::meta_payload::{AccountNews, Update};
use crate::domain::id::DeliveryKey;
use crate::store::{Db, StoreError, conversations, senders};

/// Why instances of a disabled account are suspect; the end of the ban opens those that are for no other reason.
const DISABLED: &str = "meta disabled the business account";
/// Why instances of an account that is gone are suspect.
const GONE: &str = "the business account is not on meta's platform any more";

/// The numbers of ours, and their accounts, of which it is on record that callbacks come. It spares most callbacks a
/// statement.
#[derive(Default)]
pub(super) struct Listening(HashSet<(String, String)>);

impl Listening {
    /// Most that is remembered: far more than one process has numbers.
    const MOST: usize = 10_000;

    /// Puts on record what is new; gives what to remember once that is committed.
    pub(super) async fn note(
        &self,
        db: &impl Db,
        told: Vec<(String, String)>,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let new: Vec<_> = told.into_iter().filter(|pair| !self.0.contains(pair)).collect();
        if new.is_empty() { Ok(new) } else { conversations::listening(db, &new).await }
    }

    /// Remembers what is on record. A number has one account: an earlier one is forgotten.
    pub(super) fn remember(&mut self, noted: Vec<(String, String)>) {
        if self.0.len() + noted.len() > Self::MOST {
            self.0.clear();
        }
        for pair in noted {
            self.0.retain(|(_, number)| *number != pair.1);
            self.0.insert(pair);
        }
    }
}

/// Applies news of an account. What an operator has to know is logged, in Meta's words.
pub(super) async fn apply(db: &impl Db, update: &Update) -> Result<Vec<DeliveryKey>, StoreError> {
    match update {
        Update::Account { business_account_id, news, words } => {
            error!(business_account_id, news = words, "meta reports on a business account");
            account(db, business_account_id, news).await
        }
        Update::News { business_account_id, field, words } => {
            if field == "account_alerts" {
                warn!(business_account_id, field, news = words, "meta alerts a business account");
            } else {
                info!(business_account_id, field, news = words, "meta has news of a business account");
            }
            Ok(Vec::new())
        }
        Update::Status { .. }
        | Update::Inbound { .. }
        | Update::Preference { .. }
        | Update::NumberChanged { .. }
        | Update::SenderError { .. } => Ok(Vec::new()),
    }
}

async fn account(
    db: &impl Db,
    business_account_id: &str,
    news: &AccountNews,
) -> Result<Vec<DeliveryKey>, StoreError> {
    let mut owed = Vec::new();
    match news {
        AccountNews::Restricted { texts, templates } => {
            senders::hold_business(db, business_account_id, *texts, *templates).await?;
        }
        AccountNews::Disabled | AccountNews::Gone => {
            let reason = if *news == AccountNews::Gone { GONE } else { DISABLED };
            for (account_id, instance_id) in senders::of_business(db, business_account_id).await? {
                owed.extend(senders::suspect(db, (account_id, &instance_id), reason).await?);
            }
        }
        AccountNews::Reinstated => {
            for (account_id, instance_id) in senders::of_business(db, business_account_id).await? {
                owed.extend(senders::clear(db, (account_id, &instance_id), DISABLED).await?);
            }
        }
        AccountNews::Other => {}
    }
    Ok(owed)
}
