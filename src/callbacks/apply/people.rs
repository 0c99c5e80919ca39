//! Who somebody is: providers name people by their number, by an id of their own, or by what they answer.

use std::collections::BTreeMap;

use tracing::info;

use crate::domain::id::DeliveryKey;
use crate::store::{Db, StoreError, aliases, recipients};

/// How a callback names a person.
#[derive(Clone, Copy)]
pub(super) struct Person<'a> {
    /// Their number's digits.
    pub(super) number: Option<&'a str>,
    /// The provider's own id of them.
    pub(super) alias: Option<&'a str>,
    /// The message of ours that they answer.
    pub(super) replied_to: Option<&'a str>,
}

/// The person's number, where it is known or can be learnt; and the webhook deliveries owed for wishes that had waited
/// for it.
pub(super) async fn number(
    db: &impl Db,
    account_id: i64,
    person: Person<'_>,
) -> Result<(Option<String>, Vec<DeliveryKey>), StoreError> {
    // Whoever answers a message of ours is the person it was sent to.
    let told = match (person.number, person.replied_to) {
        (Some(number), _) => Some(number.to_owned()),
        (None, Some(ours)) => recipients::of_message(db, account_id, ours).await?,
        (None, None) => None,
    };
    match (person.alias, told) {
        (Some(alias), Some(number)) => {
            let owed = learn(db, account_id, alias, &number).await?;
            Ok((Some(number), owed))
        }
        (Some(alias), None) => Ok((aliases::number(db, account_id, alias).await?, Vec::new())),
        (None, told) => Ok((told, Vec::new())),
    }
}

/// As [`learn`], of the people that reports named: each as it was told last, and in an order that all commits have, for two of
/// them may know the same.
pub(super) async fn learn_all(
    db: &impl Db,
    aliases: Vec<(i64, String, String)>,
) -> Result<Vec<DeliveryKey>, StoreError> {
    let last: BTreeMap<(i64, String), String> =
        aliases.into_iter().map(|(account_id, alias, number)| ((account_id, alias), number)).collect();
    let mut owed = Vec::new();
    for ((account_id, alias), number) in last {
        owed.extend(learn(db, account_id, &alias, &number).await?);
    }
    Ok(owed)
}

/// Keeps whose number is behind an id, and carries out what its owner asked for while that was not known.
pub(super) async fn learn(
    db: &impl Db,
    account_id: i64,
    alias: &str,
    number: &str,
) -> Result<Vec<DeliveryKey>, StoreError> {
    let learnt = aliases::learn(db, account_id, alias, number).await?;
    for wish in learnt.wishes {
        info!(account_id, ?wish, "a wish that waited for its sender's number is carried out");
    }
    Ok(learnt.owed)
}
