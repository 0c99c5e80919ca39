//! What instances of Evolution servers have besides: how they are reached, and by which token they are heard.

use tokio_postgres::Row;

use crate::domain::instance::Provider;
use crate::store::{Db, StoreError};

/// How an instance of an Evolution server is reached. It has no `Debug`, because it holds a token, though a sealed one.
pub struct EvolutionRow {
    /// Where its server is.
    pub base_url: String,
    /// Its name there.
    pub provider_instance: String,
    /// The server's key, encrypted.
    pub token_sealed: Vec<u8>,
    /// What its callbacks are known by.
    pub callback_token_hash: Option<Vec<u8>>,
}

impl From<&Row> for EvolutionRow {
    fn from(row: &Row) -> Self {
        Self {
            base_url: row.get("base_url"),
            provider_instance: row.get("provider_instance"),
            token_sealed: row.get("token_sealed"),
            callback_token_hash: row.get("callback_token_hash"),
        }
    }
}

/// How the instance is reached; `Some(None)` where it is another provider's, `None` where there is none.
///
/// # Errors
/// [`StoreError`].
pub async fn evolution(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
) -> Result<Option<Option<EvolutionRow>>, StoreError> {
    let rows = db
        .query(
            "-- instances.evolution
            select provider, base_url, provider_instance, token_sealed, callback_token_hash
            from instances where account_id = $1 and instance_id = $2",
            &[&account_id, &instance_id],
        )
        .await?;
    let is_evolution = |row: &&Row| row.get::<_, &str>("provider") == Provider::Evolution.as_str();
    Ok(rows.first().map(|row| Some(row).filter(is_evolution).map(EvolutionRow::from)))
}

/// Changes what the instance's callbacks are known by.
///
/// # Errors
/// [`StoreError`].
pub async fn set_callback_token(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    hash: Option<&[u8]>,
) -> Result<(), StoreError> {
    db.execute(
        "-- instances.set_callback_token
        update instances set callback_token_hash = $3 where account_id = $1 and instance_id = $2",
        &[&account_id, &instance_id, &hash],
    )
    .await?;
    Ok(())
}
