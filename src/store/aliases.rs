//! People whom a provider names by an id of its own: the numbers behind the ids, and the wishes that wait for one.

use jiff::Timestamp;
use serde::Serialize;

use super::{Db, StoreError, recipients};
use crate::domain::id::DeliveryKey;
use crate::domain::opt_out::Wish;

/// A wish of somebody whose number is not known.
#[derive(Clone, Debug, Serialize)]
pub struct UnresolvedRow {
    /// The instance they wrote to.
    #[serde(rename = "instance")]
    pub instance_id: String,
    /// The provider's id of them.
    pub sender: String,
    /// What they asked for last, by its name.
    pub wish: String,
    /// When they first wrote one.
    pub first_at: Timestamp,
    /// When they wrote the last one.
    pub last_at: Timestamp,
}

/// What followed from learning a number.
#[derive(Debug, Default)]
pub struct Learnt {
    /// The wishes that were carried out.
    pub wishes: Vec<Wish>,
    /// The webhook deliveries owed for them.
    pub owed: Vec<DeliveryKey>,
}

/// Remembers the number behind an id, and carries out the wishes that waited for it. Where another number was behind it
/// before, the person has taken a new one, and what was suppressed there is suppressed at the new one, too.
///
/// # Errors
/// [`StoreError`].
pub async fn learn(
    db: &impl Db,
    account_id: i64,
    sender: &str,
    recipient: &str,
) -> Result<Learnt, StoreError> {
    const REMEMBER: &str = "-- aliases.learn
        with before as materialized (
            select recipient from sender_aliases where account_id = $1 and sender = $2 for update
        ), learnt as (
            insert into sender_aliases as a (account_id, sender, recipient) values ($1, $2, $3)
            on conflict (account_id, sender) do update set recipient = excluded.recipient, learnt_at = now()
            where a.recipient <> excluded.recipient
        )
        select recipient from before where recipient <> $3";
    const RESOLVE: &str = "-- aliases.resolve
        update unresolved_senders u set resolved_at = now()
        from instances n
        where n.account_id = $1 and u.account_id = $1 and u.instance_id = n.instance_id and u.sender = $2
          and u.resolved_at is null
        returning u.instance_id, u.wish, u.last_at";
    for row in db.query(REMEMBER, &[&account_id, &sender, &recipient]).await? {
        recipients::follow_number(db, account_id, row.get(0), recipient).await?;
    }
    let mut learnt = Learnt::default();
    for row in db.query(RESOLVE, &[&account_id, &sender]).await? {
        let wish = Wish::parse(row.get(1)).ok_or(StoreError::Value("unresolved_senders.wish"))?;
        let whose = (account_id, row.get(0));
        learnt.owed.extend(recipients::heed(db, whose, recipient, (None, wish), row.get(2)).await?);
        learnt.wishes.push(wish);
    }
    Ok(learnt)
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

/// Keeps a wish until its sender's number is known; of several the one that was written last counts, but what is said of
/// marketing does not undo a wish for no messages at all.
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
            wish = case when u.resolved_at is null and (u.last_at > excluded.last_at
                             or u.wish = 'opt_out' and excluded.wish in ('stop_marketing', 'resume_marketing'))
                        then u.wish else excluded.wish end,
            first_at = case when u.resolved_at is null then least(u.first_at, excluded.first_at)
                            else excluded.first_at end,
            last_at = case when u.resolved_at is null then greatest(u.last_at, excluded.last_at)
                           else excluded.last_at end,
            resolved_at = null";
    db.execute(SQL, &[&account_id, &instance_id, &sender, &wish.as_str(), &at]).await?;
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
