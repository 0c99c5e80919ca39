//! The words an account adds to those that everybody may opt out and in with.

use jiff::Timestamp;
use serde::Serialize;

use super::{Db, StoreError};
use crate::domain::opt_out::Wish;

/// A word of an account's own, as operators see it.
#[derive(Clone, Debug, Serialize)]
pub struct OptOutWordRow {
    /// As it was written.
    pub word: String,
    /// `opt_out` or `opt_in`.
    pub wish: String,
    /// Since when.
    pub created_at: Timestamp,
}

/// Adds a word, `folded` as messages are when they are compared with it; false: the account had it already, and it now
/// asks for this.
///
/// # Errors
/// [`StoreError`], with the foreign key's constraint where there is no such account.
pub async fn insert(
    db: &impl Db,
    account_id: i64,
    (word, folded): (&str, &str),
    wish: Wish,
) -> Result<bool, StoreError> {
    const SQL: &str = "-- opt_out_words.insert
        insert into opt_out_words (account_id, folded, word, wish) values ($1, $2, $3, $4)
        on conflict (account_id, folded) do update set word = excluded.word, wish = excluded.wish
        returning xmax = 0";
    let rows = db.query(SQL, &[&account_id, &folded, &word, &wish.as_str()]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// Removes a word; false: it was none of the account's own.
///
/// # Errors
/// [`StoreError`].
pub async fn delete(db: &impl Db, account_id: i64, folded: &str) -> Result<bool, StoreError> {
    const SQL: &str = "-- opt_out_words.delete
        delete from opt_out_words where account_id = $1 and folded = $2";
    Ok(db.execute(SQL, &[&account_id, &folded]).await? == 1)
}

/// The account's own words, in order.
///
/// # Errors
/// [`StoreError`].
pub async fn list(db: &impl Db, account_id: i64) -> Result<Vec<OptOutWordRow>, StoreError> {
    const SQL: &str = "-- opt_out_words.list
        select word, wish, created_at from opt_out_words where account_id = $1 order by wish desc, folded";
    let rows = db.query(SQL, &[&account_id]).await?;
    Ok(rows
        .iter()
        .map(|row| OptOutWordRow { word: row.get(0), wish: row.get(1), created_at: row.get(2) })
        .collect())
}

/// The first of the texts, folded, that is a word of the account's own, by its place, and what it asks for.
///
/// # Errors
/// [`StoreError`].
pub async fn first(
    db: &impl Db,
    account_id: i64,
    folded: &[&str],
) -> Result<Option<(usize, Wish)>, StoreError> {
    const SQL: &str = "-- opt_out_words.first
        select t.place, w.wish from unnest($2::text[]) with ordinality as t(folded, place)
        join opt_out_words w on w.account_id = $1 and w.folded = t.folded
        order by t.place limit 1";
    let rows = db.query(SQL, &[&account_id, &folded]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let wish = Wish::parse(row.get(1)).ok_or(StoreError::Value("opt_out_words.wish"))?;
    let place = usize::try_from(row.get::<_, i64>(0) - 1).map_err(|_| StoreError::Value("place"))?;
    Ok(Some((place, wish)))
}
