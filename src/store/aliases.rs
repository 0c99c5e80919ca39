//! People whom a provider names by an id of its own: the numbers behind the ids, and the wishes that wait for one.

use jiff::Timestamp;
use serde::Serialize;

use super::{Db, StoreError};
use crate::domain::opt_out::Wish;

/// A wish of somebody whose number is not known.
#[derive(Clone, Debug, Serialize)]
pub struct UnresolvedRow {
    /// The instance they wrote to.
    #[serde(rename = "instance")]
    pub instance_id: String,
    /// The provider's id of them.
    pub sender: String,
    /// `opt_out` or `opt_in`.
    pub wish: String,
    /// When they first wrote one.
    pub first_at: Timestamp,
    /// When they wrote the last one.
    pub last_at: Timestamp,
}

/// A wish that waited for its sender's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    /// The instance they wrote to.
    pub instance_id: String,
    /// What they asked for last.
    pub wish: Wish,
    /// When.
    pub at: Timestamp,
}

fn name(wish: Wish) -> &'static str {
    match wish {
        Wish::OptOut => "opt_out",
        Wish::OptIn => "opt_in",
    }
}

/// Remembers the number behind an id, and gives the wishes that waited for it: they count as carried out from here on.
///
/// # Errors
/// [`StoreError`].
pub async fn learn(
    db: &impl Db,
    account_id: i64,
    sender: &str,
    recipient: &str,
) -> Result<Vec<Waited>, StoreError> {
    const SQL: &str = "-- aliases.learn
        with learnt as (
            insert into sender_aliases as a (account_id, sender, recipient) values ($1, $2, $3)
            on conflict (account_id, sender) do update set recipient = excluded.recipient, learnt_at = now()
            where a.recipient <> excluded.recipient
        )
        update unresolved_senders u set resolved_at = now()
        from instances n
        where n.account_id = $1 and u.account_id = $1 and u.instance_id = n.instance_id and u.sender = $2
          and u.resolved_at is null
        returning u.instance_id, u.wish, u.last_at";
    let rows = db.query(SQL, &[&account_id, &sender, &recipient]).await?;
    let waited = |row: &tokio_postgres::Row| {
        let wish = match row.get(1) {
            "opt_out" => Wish::OptOut,
            "opt_in" => Wish::OptIn,
            _ => return Err(StoreError::Value("unresolved_senders.wish")),
        };
        Ok(Waited { instance_id: row.get(0), wish, at: row.get(2) })
    };
    rows.iter().map(waited).collect()
}

/// The number behind an id, where it was learnt.
///
/// # Errors
/// [`StoreError`].
pub async fn number(db: &impl Db, account_id: i64, sender: &str) -> Result<Option<String>, StoreError> {
    const SQL: &str = "-- aliases.number
        select recipient from sender_aliases where account_id = $1 and sender = $2";
    let rows = db.query(SQL, &[&account_id, &sender]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// Keeps a wish until its sender's number is known; of several the one that was written last counts.
///
/// # Errors
/// [`StoreError`].
pub async fn keep(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    sender: &str,
    wish: Wish,
    at: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str = "-- aliases.keep
        insert into unresolved_senders as u (account_id, instance_id, sender, wish, first_at, last_at)
        values ($1, $2, $3, $4, $5, $5)
        on conflict (account_id, instance_id, sender) do update set
            wish = case when u.resolved_at is null and u.last_at > excluded.last_at then u.wish else excluded.wish end,
            first_at = case when u.resolved_at is null then least(u.first_at, excluded.first_at)
                            else excluded.first_at end,
            last_at = case when u.resolved_at is null then greatest(u.last_at, excluded.last_at)
                           else excluded.last_at end,
            resolved_at = null";
    db.execute(SQL, &[&account_id, &instance_id, &sender, &name(wish), &at]).await?;
    Ok(())
}

/// The account's wishes that wait for a number, the oldest first.
///
/// # Errors
/// [`StoreError`].
pub async fn unresolved(db: &impl Db, account_id: i64) -> Result<Vec<UnresolvedRow>, StoreError> {
    const SQL: &str = "-- aliases.unresolved
        select instance_id, sender, wish, first_at, last_at from unresolved_senders
        where account_id = $1 and resolved_at is null order by first_at, instance_id, sender";
    let rows = db.query(SQL, &[&account_id]).await?;
    Ok(rows
        .iter()
        .map(|row| UnresolvedRow {
            instance_id: row.get(0),
            sender: row.get(1),
            wish: row.get(2),
            first_at: row.get(3),
            last_at: row.get(4),
        })
        .collect())
}
