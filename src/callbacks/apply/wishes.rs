//! What people want: an opt-out stands from the commit of the callback that brought it.

use jiff::Timestamp;
use tracing::{info, warn};

use crate::domain::id::DeliveryKey;
use crate::domain::opt_out::{self, Wish};
use crate::store::{Db, StoreError, aliases, opt_out_words, recipients};

/// What somebody wrote or tapped, whoever's wire it came on.
pub(super) struct Heard<'a> {
    /// The provider's id of it.
    pub(super) provider_message_id: &'a str,
    /// Their number's digits, where it is told.
    pub(super) from: Option<&'a str>,
    /// The provider's own id of them, where it is told.
    pub(super) alias: Option<&'a str>,
    /// Everything that may be an opt-out word.
    pub(super) texts: &'a [String],
    /// Our message that this one answers.
    pub(super) replied_to: Option<&'a str>,
    /// When it was written.
    pub(super) at: Timestamp,
}

/// Takes note of it, and does what it asks for. A wish of somebody whose number is not known is kept until it is.
pub(super) async fn hear(
    db: &impl Db,
    sender: (i64, &str),
    heard: Heard<'_>,
) -> Result<Vec<DeliveryKey>, StoreError> {
    let (account_id, instance_id) = sender;
    let Heard { provider_message_id, from, alias, texts, replied_to, at } = heard;
    // Whoever answers a message of ours is the person it was sent to.
    let told = match (from, replied_to) {
        (Some(from), _) => Some(from.to_owned()),
        (None, Some(ours)) => recipients::of_message(db, account_id, ours).await?,
        (None, None) => None,
    };
    let mut owed = Vec::new();
    let recipient = match (alias, told) {
        (Some(alias), Some(recipient)) => {
            owed.extend(learn(db, account_id, alias, &recipient).await?);
            Some(recipient)
        }
        (Some(alias), None) => aliases::number(db, account_id, alias).await?,
        (None, told) => told,
    };
    if !recipients::hear(db, sender, provider_message_id, recipient.as_deref(), at).await? {
        return Ok(owed);
    }
    let Some((text, wish)) = in_texts(db, account_id, texts).await? else { return Ok(owed) };
    match (recipient, alias) {
        (Some(recipient), _) => {
            info!(account_id, instance_id, ?wish, "a recipient changed their mind");
            owed.extend(recipients::heed(db, sender, &recipient, (Some(text), wish), at).await?);
        }
        (None, Some(alias)) => {
            warn!(account_id, instance_id, ?wish, "somebody whose number is not known asked for it");
            aliases::keep(db, sender, alias, wish, at).await?;
        }
        (None, None) => warn!(account_id, instance_id, ?wish, "somebody whom nothing names asked for it"),
    }
    Ok(owed)
}

/// Keeps whose number is behind a provider's id, and carries out what its owner asked for while that was not known.
pub(super) async fn learn(
    db: &impl Db,
    account_id: i64,
    alias: &str,
    recipient: &str,
) -> Result<Vec<DeliveryKey>, StoreError> {
    let learnt = aliases::learn(db, account_id, alias, recipient).await?;
    for wish in learnt.wishes {
        info!(account_id, ?wish, "a wish that waited for its sender's number is carried out");
    }
    Ok(learnt.owed)
}

/// The first of the texts that is an opt-out or opt-in word, built in or the account's own, and what it asks for. The
/// account's words are read here, in the transaction that acts on them, so that a change of them counts at once.
async fn in_texts<'a>(
    db: &impl Db,
    account_id: i64,
    texts: &'a [String],
) -> Result<Option<(&'a str, Wish)>, StoreError> {
    let folded: Vec<(&str, String)> =
        texts.iter().filter_map(|text| Some((text.as_str(), opt_out::folded(text)?))).collect();
    let built_in = folded.iter().enumerate().find_map(|(n, (_, word))| Some((n, opt_out::built_in(word)?)));
    let before = built_in.map_or(folded.len(), |(n, _)| n);
    let words: Vec<&str> = folded[..before].iter().map(|(_, word)| word.as_str()).collect();
    let own = if words.is_empty() { None } else { opt_out_words::first(db, account_id, &words).await? };
    Ok(own.or(built_in).map(|(n, wish)| (folded[n].0, wish)))
}
