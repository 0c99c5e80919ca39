//! Recipients that are sent nothing, or nothing but one-time codes, for a time or without an end.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::{Db, StoreError, in_force, with_plus};
use crate::domain::phone::PhoneNumber;

/// Whether the recipient of the message `$message` does not want it at this moment. A confirmation of an opt-out is no
/// such message.
macro_rules! unwanted {
    ($message:literal) => {
        concat!(
            "(not ",
            $message,
            ".confirmation and exists (select from suppressions s where s.account_id = ",
            $message,
            ".account_id and s.recipient = ",
            $message,
            ".recipient and (s.scope = 'all' or ",
            $message,
            ".purpose <> 'authentication') and ",
            in_force!(),
            " offset 0))"
        )
    };
}
pub(super) use unwanted;

/// Whether the message `$message` confirms an opt-out that does not stand any more: the recipient has opted in again, or
/// somebody else suppresses them now.
macro_rules! outdated {
    ($message:literal) => {
        concat!(
            "(",
            $message,
            ".confirmation and not exists (select from suppressions s where s.account_id = ",
            $message,
            ".account_id and s.recipient = ",
            $message,
            ".recipient and s.scope = 'all' and s.source = 'inbound' and ",
            in_force!(),
            " offset 0))"
        )
    };
}
pub(super) use outdated;

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
    /// When it was asked for.
    pub created_at: Timestamp,
    /// It counts from then on.
    pub starts_at: Timestamp,
    /// It counts until then; `None`: until it is lifted.
    pub ends_at: Option<Timestamp>,
    /// `active`, `ended` or `not_yet`.
    pub state: String,
}

/// From when until when a suppression counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// `None`: from now on.
    pub from: Option<Timestamp>,
    /// `None`: until it is lifted.
    pub until: Option<Timestamp>,
}

/// What became of a suppression that was to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// It stands as it was asked for.
    Done,
    /// Nothing changed: the recipient is suppressed already, by the [`Source`] of this name.
    Already(String),
}

impl From<&Row> for SuppressionRow {
    fn from(row: &Row) -> Self {
        Self {
            recipient: row.get("recipient"),
            scope: row.get("scope"),
            source: row.get("source"),
            created_at: row.get("created_at"),
            starts_at: row.get("starts_at"),
            ends_at: row.get("ends_at"),
            state: row.get("state"),
        }
    }
}

/// Suppresses a recipient. One that has ended counts as new, and the source's own takes the new period. What the
/// recipient asked for becomes the operator's, so that the recipient cannot lift it any more; but nobody's period
/// shortens it, and what the operator and the customer asked for stays each their own.
///
/// # Errors
/// [`StoreError`], with the foreign key's constraint where there is no such account.
pub async fn insert(
    db: &impl Db,
    account_id: i64,
    recipient: &PhoneNumber,
    scope: Scope,
    source: Source,
    period: Period,
) -> Result<Added, StoreError> {
    const SQL: &str = "-- suppressions.insert
        with added as (
            insert into suppressions as s (account_id, recipient, scope, source, starts_at, ends_at)
            values ($1, $2, $3, $4, coalesce($5::timestamptz, now()), $6::timestamptz)
            on conflict (account_id, recipient, scope) do update set
                source = excluded.source, created_at = now(), ends_at = excluded.ends_at,
                starts_at = case when s.ends_at <= now() then excluded.starts_at
                                 else coalesce($5, least(s.starts_at, now())) end
            where s.ends_at <= now()
               or (s.source in ('inbound', 'provider') and excluded.starts_at <= now() and excluded.ends_at is null)
               or (s.source = excluded.source
                   and (s.starts_at <> coalesce($5, least(s.starts_at, now()))
                        or s.ends_at is distinct from excluded.ends_at))
            returning account_id
        )
        select coalesce((select source from suppressions
                         where account_id = $1 and recipient = $2 and scope = $3), $4)
        where not exists (select from added)";
    let params: [&(dyn ToSql + Sync); 6] =
        [&account_id, &recipient.digits(), &scope.as_str(), &source.as_str(), &period.from, &period.until];
    let rows = db.query(SQL, &params).await?;
    Ok(rows.first().map_or(Added::Done, |row| Added::Already(row.get(0))))
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
    const SQL: &str = concat!(
        "-- suppressions.list
        select recipient, scope, source, created_at, starts_at, ends_at,
               case when ",
        in_force!(),
        " then 'active' when ends_at <= now() then 'ended' else 'not_yet' end as state
        from suppressions s
        where account_id = $1 and ($2::text is null or recipient = $2) and ($3::text is null or scope = $3)
        order by recipient, scope"
    );
    let rows =
        db.query(SQL, &[&account_id, &recipient.map(PhoneNumber::digits), &scope.map(Scope::as_str)]).await?;
    Ok(rows.iter().map(SuppressionRow::from).collect())
}
