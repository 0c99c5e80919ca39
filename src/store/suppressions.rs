//! Recipients that asked for no more messages.

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use tokio_postgres::Row;

use super::{Db, StoreError};
use crate::domain::phone::PhoneNumber;

/// Which messages a suppression stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scope {
    /// Every message.
    All,
    /// Every message but one-time codes.
    NonEssential,
}

/// Who asked for a suppression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The recipient, by an opt-out word.
    Inbound,
    /// The provider, by its own list.
    Provider,
    /// The operator.
    Operator,
    /// The customer.
    Api,
}

impl Scope {
    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::NonEssential => "non_essential",
        }
    }
}

impl Source {
    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Provider => "provider",
            Self::Operator => "operator",
            Self::Api => "api",
        }
    }
}

/// A suppression, as operators see it.
#[derive(Clone, Debug, Serialize)]
pub struct SuppressionRow {
    /// E.164 digits without the plus; written with it.
    #[serde(rename = "phone", serialize_with = "with_plus")]
    pub recipient: String,
    /// [`Scope`]'s name.
    pub scope: String,
    /// [`Source`]'s name.
    pub source: String,
    /// Since when.
    pub created_at: Timestamp,
}

fn with_plus<S: Serializer>(digits: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("+{digits}"))
}

impl From<&Row> for SuppressionRow {
    fn from(row: &Row) -> Self {
        Self {
            recipient: row.get("recipient"),
            scope: row.get("scope"),
            source: row.get("source"),
            created_at: row.get("created_at"),
        }
    }
}

/// Suppresses a recipient; false: already so by an operator or the customer, whose source and time stay. What the recipient
/// asked for becomes the operator's, so that the recipient cannot lift it any more.
///
/// # Errors
/// [`StoreError`], with the foreign key's constraint where there is no such account.
pub async fn insert(
    db: &impl Db,
    account_id: i64,
    recipient: &PhoneNumber,
    scope: Scope,
    source: Source,
) -> Result<bool, StoreError> {
    let added = db
        .execute(
            "-- suppressions.insert
            insert into suppressions (account_id, recipient, scope, source) values ($1, $2, $3, $4)
            on conflict (account_id, recipient, scope) do update set source = excluded.source, created_at = now()
                where suppressions.source in ('inbound', 'provider')",
            &[&account_id, &recipient.digits(), &scope.as_str(), &source.as_str()],
        )
        .await?;
    Ok(added == 1)
}

/// Lifts a recipient's suppression of that scope, or of every scope; gives how many there were.
///
/// # Errors
/// [`StoreError`].
pub async fn delete(
    db: &impl Db,
    account_id: i64,
    recipient: &PhoneNumber,
    scope: Option<Scope>,
) -> Result<u64, StoreError> {
    db.execute(
        "-- suppressions.delete
        delete from suppressions
        where account_id = $1 and recipient = $2 and ($3::text is null or scope = $3)",
        &[&account_id, &recipient.digits(), &scope.map(Scope::as_str)],
    )
    .await
}

/// The account's suppressions by number, of one recipient or one scope where given.
///
/// # Errors
/// [`StoreError`].
pub async fn list(
    db: &impl Db,
    account_id: i64,
    recipient: Option<&PhoneNumber>,
    scope: Option<Scope>,
) -> Result<Vec<SuppressionRow>, StoreError> {
    let rows = db
        .query(
            "-- suppressions.list
            select recipient, scope, source, created_at from suppressions
            where account_id = $1 and ($2::text is null or recipient = $2) and ($3::text is null or scope = $3)
            order by recipient, scope",
            &[&account_id, &recipient.map(PhoneNumber::digits), &scope.map(Scope::as_str)],
        )
        .await?;
    Ok(rows.iter().map(SuppressionRow::from).collect())
}
