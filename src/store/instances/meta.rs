//! What instances of Meta's have besides: how they are asked about, and what becomes of free text outside the window.

use tokio_postgres::Row;

use crate::domain::instance::{OutsideWindow, Provider};
use crate::store::{Db, StoreError};

/// How a number is asked about at Meta. It has no `Debug`, because it holds a token, though a sealed one.
pub struct MetaRow {
    /// Where Meta's API is.
    pub base_url: String,
    /// Meta's id of the number.
    pub phone_number_id: String,
    /// The access token, encrypted.
    pub token_sealed: Vec<u8>,
}

impl From<&Row> for MetaRow {
    fn from(row: &Row) -> Self {
        Self {
            base_url: row.get("base_url"),
            phone_number_id: row.get::<_, Option<String>>("phone_number_id").unwrap_or_default(),
            token_sealed: row.get::<_, Option<Vec<u8>>>("token_sealed").unwrap_or_default(),
        }
    }
}

/// How the number is asked about; `Some(None)` where it is another provider's, `None` where there is none. The sandbox
/// speaks Meta's wire.
///
/// # Errors
/// [`StoreError`].
pub async fn meta(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
) -> Result<Option<Option<MetaRow>>, StoreError> {
    let rows = db
        .query(
            "-- instances.meta
            select provider, base_url, phone_number_id, token_sealed
            from instances where account_id = $1 and instance_id = $2",
            &[&account_id, &instance_id],
        )
        .await?;
    let is_meta = |row: &&Row| Provider::parse(row.get("provider")).is_some_and(Provider::has_templates);
    Ok(rows.first().map(|row| Some(row).filter(is_meta).map(MetaRow::from)))
}

/// Says what becomes of free text to people who are known to be outside the provider's window; false: no such instance, or
/// one whose provider has no window.
///
/// # Errors
/// [`StoreError`].
pub async fn set_outside_window(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    outside_window: OutsideWindow,
) -> Result<bool, StoreError> {
    let changed = db
        .execute(
            "-- instances.set_outside_window
            update instances set outside_window = $3
            where account_id = $1 and instance_id = $2 and provider <> 'evolution'",
            &[&account_id, &instance_id, &outside_window.as_str()],
        )
        .await?;
    Ok(changed == 1)
}
