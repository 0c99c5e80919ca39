//! What instances of Evolution servers have besides: how they are reached, and by which token they are heard.

use std::time::Duration;

use tokio_postgres::Row;

use crate::domain::instance::Provider;
use crate::store::{Db, StoreError};

/// For so long callbacks to an address are taken that was replaced: servers repeat what they could not deliver for twenty
/// minutes.
const PREVIOUS_ADDRESS: Duration = Duration::from_secs(60 * 60);

/// How an instance's callbacks are known. It has no `Debug`, because it holds a key, though a sealed one.
pub struct CallbackAddress {
    /// SHA-256 of the token in the address.
    pub token_hash: Option<Vec<u8>>,
    /// The key of the tokens that come with the events, encrypted; `None`: none are asked for.
    pub jwt_key_sealed: Option<Vec<u8>>,
}

/// How an instance of an Evolution server is reached. It has no `Debug`, because it holds a token, though a sealed one.
pub struct EvolutionRow {
    /// Where its server is.
    pub base_url: String,
    /// Its name there.
    pub provider_instance: String,
    /// The server's key, encrypted.
    pub token_sealed: Vec<u8>,
    /// What its callbacks are known by.
    pub callback: CallbackAddress,
}

impl From<&Row> for EvolutionRow {
    fn from(row: &Row) -> Self {
        Self {
            base_url: row.get("base_url"),
            provider_instance: row.get("provider_instance"),
            token_sealed: row.get("token_sealed"),
            callback: CallbackAddress {
                token_hash: row.get("callback_token_hash"),
                jwt_key_sealed: row.get("callback_jwt_key_sealed"),
            },
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
            select provider, base_url, provider_instance, token_sealed, callback_token_hash,
                callback_jwt_key_sealed
            from instances where account_id = $1 and instance_id = $2",
            &[&account_id, &instance_id],
        )
        .await?;
    let is_evolution = |row: &&Row| row.get::<_, &str>("provider") == Provider::Evolution.as_str();
    Ok(rows.first().map(|row| Some(row).filter(is_evolution).map(EvolutionRow::from)))
}

/// Whether an instance that is connected with this number was so before; the first time it is told, it is.
///
/// # Errors
/// [`StoreError`].
pub async fn is_own_number(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    number: &str,
) -> Result<bool, StoreError> {
    const KNOWN: &str = "-- instances.own_number
        select own_number from instances where account_id = $1 and instance_id = $2";
    const LEARN: &str = "-- instances.learn_own_number
        update instances set own_number = $3 where account_id = $1 and instance_id = $2";
    let rows = db.query(KNOWN, &[&account_id, &instance_id]).await?;
    if let Some(known) = rows.first().and_then(|row| row.get::<_, Option<String>>(0)) {
        return Ok(known == number);
    }
    db.execute(LEARN, &[&account_id, &instance_id, &number]).await?;
    Ok(true)
}

/// Changes what the instance's callbacks are known by. What was heard through another address does not count any more; what
/// still comes to the one before is taken for [`PREVIOUS_ADDRESS`].
///
/// # Errors
/// [`StoreError`].
pub async fn set_callback_address(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    address: &CallbackAddress,
) -> Result<(), StoreError> {
    db.execute(
        "-- instances.set_callback_address
        with unheard as (
            update connection_looks set heard_at = null where account_id = $1 and instance_id = $2
        ), begun_anew as (
            delete from unacknowledged where account_id = $1 and instance_id = $2
        )
        update instances set callback_token_hash = $3, callback_jwt_key_sealed = $4,
            previous_callback_token_hash = callback_token_hash,
            previous_callback_jwt_key_sealed = callback_jwt_key_sealed,
            previous_callback_until = now() + $5::int8 * interval '1 second'
        where account_id = $1 and instance_id = $2",
        &[
            &account_id,
            &instance_id,
            &address.token_hash,
            &address.jwt_key_sealed,
            &PREVIOUS_ADDRESS.as_secs().cast_signed(),
        ],
    )
    .await?;
    Ok(())
}
