//! Raw provider callbacks: stored before they are answered, applied afterwards.

use super::span::few;
use super::{Db, StoreError};

/// Where a callback comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Meta: the body names the numbers it speaks of.
    Meta,
    /// Evolution: it came to the address of this instance of the account's.
    Evolution(String),
}

/// A stored callback taken up to be applied.
pub struct Callback {
    /// The account its first number belongs to; 0: none of ours.
    pub account_id: i64,
    /// A hash of the body; with the account it names the row.
    pub body_hash: Vec<u8>,
    /// Whose wire it speaks.
    pub origin: Origin,
    /// The bytes as received.
    pub body: Vec<u8>,
    /// When it arrived.
    pub received_at: jiff::Timestamp,
    /// Seconds since it arrived.
    pub age_seconds: i64,
    /// How often it was taken up, this time included.
    pub tries: i16,
    /// Everything but reports of messages not known yet has taken effect.
    pub heard: bool,
}

/// Stores a verified callback of Meta's, due at once; `false` where the same body was stored before.
///
/// # Errors
/// [`StoreError`].
pub async fn store_meta(
    db: &impl Db,
    phone_number_id: Option<&str>,
    body_hash: &[u8],
    body: &[u8],
) -> Result<bool, StoreError> {
    const SQL: &str = "-- callbacks.store_meta
        insert into callbacks (account_id, body_hash, provider, body, due_at)
        values (coalesce((select account_id from instances where phone_number_id = $1), 0), $2, 'meta', $3, now())
        on conflict do nothing";
    Ok(db.execute(SQL, &[&phone_number_id, &body_hash, &body]).await? == 1)
}

/// Stores a verified callback of an Evolution instance's, due at once; `false` where the same body was stored before.
///
/// # Errors
/// [`StoreError`].
pub async fn store_evolution(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    body_hash: &[u8],
    body: &[u8],
) -> Result<bool, StoreError> {
    const SQL: &str = "-- callbacks.store_evolution
        insert into callbacks (account_id, body_hash, provider, instance_id, body, due_at)
        values ($1, $2, 'evolution', $3, $4, now()) on conflict do nothing";
    Ok(db.execute(SQL, &[&account_id, &body_hash, &instance_id, &body]).await? == 1)
}

/// Takes up due callbacks, in the order in which they arrived: at most so many, and so many bytes unless it is one. If they
/// are not settled within `lease_ms`, somebody else takes them up again.
///
/// # Errors
/// [`StoreError`].
pub async fn take(
    db: &impl Db,
    (limit, bytes): (i64, i64),
    lease_ms: i64,
) -> Result<Vec<Callback>, StoreError> {
    const SQL: &str = concat!(
        "-- callbacks.take
        with due as materialized (
            select account_id, body_hash, due_at, octet_length(body) as bytes from callbacks
            where due_at <= now() order by due_at limit $1
            for update skip locked
        ), added as materialized (
            select account_id, body_hash, sum(bytes) over (order by due_at, account_id, body_hash) - bytes as before from due
        )
        update callbacks c set due_at = now() + $2::int8 * interval '1 millisecond' * (1 + c.tries), tries = least(c.tries + 1, 10)
        from added d where c.account_id = d.account_id and c.body_hash = d.body_hash and d.before < $3::int8 and ",
        few!("d"),
        "
        returning c.account_id, c.body_hash, c.body, c.received_at, extract(epoch from now() - c.received_at)::int8,
            c.tries, c.heard, c.instance_id"
    );
    let rows = db.query(SQL, &[&limit, &lease_ms, &bytes]).await?;
    let mut taken: Vec<Callback> = rows
        .iter()
        .map(|row| Callback {
            account_id: row.get(0),
            body_hash: row.get(1),
            body: row.get(2),
            received_at: row.get(3),
            age_seconds: row.get(4),
            tries: row.get(5),
            heard: row.get(6),
            origin: row.get::<_, Option<String>>(7).map_or(Origin::Meta, Origin::Evolution),
        })
        .collect();
    taken.sort_by_key(|callback| callback.received_at);
    Ok(taken)
}

/// A callback that had its effect.
pub struct Settled<'a> {
    /// As [`Callback::account_id`].
    pub account_id: i64,
    /// As [`Callback::body_hash`].
    pub body_hash: &'a [u8],
    /// It is due again in so many milliseconds; `None`: settled for good.
    pub again_ms: Option<i64>,
}

/// Settles callbacks.
///
/// # Errors
/// [`StoreError`].
pub async fn settle(db: &impl Db, settled: &[Settled<'_>]) -> Result<(), StoreError> {
    const SQL: &str = concat!(
        "-- callbacks.settle
        update callbacks c set heard = true, due_at = now() + k.again_ms * interval '1 millisecond'
        from unnest($1::int8[], $2::bytea[], $3::int8[]) as k(account_id, body_hash, again_ms)
        where c.account_id = k.account_id and c.body_hash = k.body_hash and ",
        few!("k")
    );
    let accounts: Vec<i64> = settled.iter().map(|settled| settled.account_id).collect();
    let hashes: Vec<&[u8]> = settled.iter().map(|settled| settled.body_hash).collect();
    let again: Vec<Option<i64>> = settled.iter().map(|settled| settled.again_ms).collect();
    db.execute(SQL, &[&accounts, &hashes, &again]).await?;
    Ok(())
}

/// Gives callbacks back that were taken up and not looked at: they are due at once.
///
/// # Errors
/// [`StoreError`]; then they are due when their leases end.
pub async fn give_back(db: &impl Db, callbacks: &[Callback]) -> Result<(), StoreError> {
    const SQL: &str = concat!(
        "-- callbacks.give_back
        update callbacks c set due_at = now(), tries = greatest(c.tries - 1, 0)
        from unnest($1::int8[], $2::bytea[]) as k(account_id, body_hash)
        where c.account_id = k.account_id and c.body_hash = k.body_hash and ",
        few!("k")
    );
    let accounts: Vec<i64> = callbacks.iter().map(|callback| callback.account_id).collect();
    let hashes: Vec<&[u8]> = callbacks.iter().map(|callback| callback.body_hash.as_slice()).collect();
    db.execute(SQL, &[&accounts, &hashes]).await?;
    Ok(())
}

/// Gives a callback up: it is kept, and nobody takes it up again. What was not heard of it stays so.
///
/// # Errors
/// [`StoreError`].
pub async fn give_up(db: &impl Db, account_id: i64, body_hash: &[u8]) -> Result<(), StoreError> {
    const SQL: &str = "-- callbacks.give_up
        update callbacks set due_at = null where account_id = $1 and body_hash = $2";
    db.execute(SQL, &[&account_id, &body_hash]).await?;
    Ok(())
}

/// Forgets settled callbacks older than `days`, at most `limit`; gives how many.
///
/// # Errors
/// [`StoreError`].
pub async fn forget_old(db: &impl Db, days: i32, limit: i64) -> Result<u64, StoreError> {
    const SQL: &str = "-- callbacks.forget_old
        delete from callbacks where (account_id, body_hash) in (
            select account_id, body_hash from callbacks
            where received_at < now() - make_interval(days => $1) and due_at is null
            order by received_at limit $2 for update skip locked)";
    db.execute(SQL, &[&days, &limit]).await
}
