//! What people want: an opt-out stands from the commit of the callback that brought it.

use jiff::Timestamp;
use tracing::info;

use crate::domain::id::DeliveryKey;
use crate::domain::opt_out::{self, Wish};
use crate::store::{Db, StoreError, recipients};

/// The first of the texts that is an opt-out or opt-in word, and what it asks for.
pub(super) fn in_texts(texts: &[String]) -> Option<(&str, Wish)> {
    texts.iter().find_map(|text| Some((text.as_str(), opt_out::wish(text)?)))
}

/// Carries out what a recipient asked for at `at`; `text` is what they wrote.
pub(super) async fn carry_out(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    recipient: &str,
    (text, wish): (Option<&str>, Wish),
    at: Timestamp,
) -> Result<Vec<DeliveryKey>, StoreError> {
    info!(account_id, instance_id, ?wish, "a recipient changed their mind");
    recipients::heed(db, (account_id, instance_id), recipient, (text, wish), at).await
}
