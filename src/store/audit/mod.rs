//! Facts for the audit, read in pages by key. Nothing here locks a row or waits for one: each page is its own read-only
//! snapshot, so that none is held for long.

mod accounts;
mod events;
mod ledgers;
mod messages;

use std::time::Duration;

use tokio_postgres::IsolationLevel;

use super::{Session, StoreError, Transaction, bounded};

pub use accounts::{
    Callbacks, Checked, Counter, Horizon, accounts, callbacks, counters, decisions, horizon, keys,
};
pub use events::{EventPage, events};
pub use ledgers::{AnsweredFor, answers, known_events, known_messages, messages_of_keys};
pub use messages::{MessagePage, messages};

/// The longest a count over all messages of an account may take.
const COUNTING: Duration = Duration::from_secs(120);

impl Session {
    /// Begins a transaction that changes nothing and sees one moment of the database throughout.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn snapshot(&mut self) -> Result<Transaction<'_>, StoreError> {
        let silent = &self.silent;
        let client = self.client.as_mut().expect("taken only by drop");
        let begin = async {
            let builder = client.build_transaction();
            Ok(builder.isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?)
        };
        let transaction = bounded(silent, begin).await?;
        Ok(Transaction { transaction, silent })
    }
}
