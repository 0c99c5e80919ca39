//! Who wrote when, as far as Meta's 24-hour window goes by it, and since when anybody would have been heard.

use jiff::Timestamp;

use super::{Db, StoreError};

/// Whether the recipient of the message `c` is known to be outside the window of the instance `n`, and free text to them
/// is to fail: they wrote more than a day ago, or never while all that is written has been heard for a day.
/// People in Argentina may be named by another form of the number than the one they are sent to, so that of them it is not
/// known.
macro_rules! outside_window {
    () => {
        "(n.outside_window = 'fail' and left(c.recipient, 2) <> '54' \
            and coalesce(coalesce((select w.last_inbound_at from conversations w \
            where w.account_id = c.account_id and w.instance_id = c.instance_id and w.recipient = c.recipient), \
            n.listening_since) <= now() - interval '24 hours', false))"
    };
}
pub(super) use outside_window;

/// Remembers that somebody wrote to the instance at `at`: their window is open from then on. A time to come counts as now.
///
/// # Errors
/// [`StoreError`].
pub async fn wrote(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    recipient: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str = "-- conversations.wrote
        insert into conversations as c (account_id, instance_id, recipient, last_inbound_at)
        values ($1, $2, $3, least($4::timestamptz, now()))
        on conflict (account_id, instance_id, recipient) do update set
            last_inbound_at = greatest(c.last_inbound_at, excluded.last_inbound_at)";
    db.execute(SQL, &[&account_id, &instance_id, &recipient, &at]).await?;
    Ok(())
}

/// Remembers that callbacks about the messages of these numbers come, and to which business accounts the numbers belong:
/// pairs of the account's and the number's id at Meta. Gives those that are numbers of ours.
///
/// # Errors
/// [`StoreError`].
pub async fn listening(db: &impl Db, told: &[(String, String)]) -> Result<Vec<(String, String)>, StoreError> {
    const SQL: &str = "-- conversations.listening
        with told as materialized (
            select n.account_id, n.instance_id, t.business_account_id, t.phone_number_id,
                   n.listening_since is null or n.business_account_id is distinct from t.business_account_id as is_news
            from unnest($1::text[], $2::text[]) as t(business_account_id, phone_number_id)
            join instances n on n.phone_number_id = t.phone_number_id
            order by n.account_id, n.instance_id
        ), noted as (
            update instances n set listening_since = coalesce(n.listening_since, now()),
                                   business_account_id = t.business_account_id
            from told t where t.is_news and n.account_id = t.account_id and n.instance_id = t.instance_id
        )
        select business_account_id, phone_number_id from told";
    let (accounts, numbers): (Vec<&str>, Vec<&str>) =
        told.iter().map(|(account, number)| (account.as_str(), number.as_str())).unzip();
    let rows = db.query(SQL, &[&accounts, &numbers]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Forgets who wrote longer than `days` ago, at most `limit`; gives how many. Without them they are as far outside.
///
/// # Errors
/// [`StoreError`].
pub async fn forget_old(db: &impl Db, days: i32, limit: i64) -> Result<u64, StoreError> {
    const SQL: &str = "-- conversations.forget_old
        delete from conversations where (account_id, instance_id, recipient) in (
            select account_id, instance_id, recipient from conversations
            where last_inbound_at < now() - make_interval(days => $1)
            order by last_inbound_at limit $2 for update skip locked)";
    db.execute(SQL, &[&days, &limit]).await
}
