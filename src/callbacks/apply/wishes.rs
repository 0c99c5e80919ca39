//! What people want: an opt-out stands from the commit of the callback that brought it.

use jiff::Timestamp;
use tracing::{info, warn};

use crate::domain::id::DeliveryKey;
use crate::domain::opt_out::{self, Wish};
use crate::store::{Db, StoreError, aliases, opt_out_words, recipients};

/// The first of the texts that is an opt-out or opt-in word, built in or the account's own, and what it asks for. The
/// account's words are read here, in the transaction that acts on them, so that a change of them counts at once.
pub(super) async fn in_texts<'a>(
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

/// Carries out what somebody asked for at `at`, or keeps it until their number is known. They are known by their number, by
/// the provider's id of them, or by both; `text` is what they wrote, if they did.
pub(super) async fn heed(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    (recipient, alias): (Option<&str>, Option<&str>),
    (text, wish): (Option<&str>, Wish),
    at: Timestamp,
) -> Result<Vec<DeliveryKey>, StoreError> {
    let sender = (account_id, instance_id);
    match (recipient, alias) {
        (Some(recipient), _) => {
            info!(account_id, instance_id, ?wish, "a recipient changed their mind");
            return recipients::heed(db, sender, recipient, (text, wish), at).await;
        }
        (None, Some(alias)) => {
            warn!(account_id, instance_id, ?wish, "somebody whose number is not known asked for it");
            aliases::keep(db, sender, alias, wish, at).await?;
        }
        (None, None) => warn!(account_id, instance_id, ?wish, "somebody without a number asked for it"),
    }
    Ok(Vec::new())
}
