//! `gateway migrate`.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::AdminError;
use crate::config::Hidden;
use crate::runtime::retry;
use crate::store::{Pool, StoreError, migrations};

/// How long to wait for a database that is just starting.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// Waits for the database to answer, then applies what is missing; gives the versions applied.
///
/// # Errors
/// [`AdminError::Stopped`] where `stop` came before the database's answer, [`AdminError::Store`].
pub async fn migrate(url: &Hidden, stop: &CancellationToken) -> Result<Vec<i32>, AdminError> {
    let pool = Pool::new(url, 1)?;
    let connected = retry::until_ok("database", stop, || async { pool.get().await.map(drop) });
    match tokio::time::timeout(CONNECT_LIMIT, connected).await {
        Ok(Some(())) => Ok(migrations::migrate(url).await?),
        Ok(None) => Err(AdminError::Stopped),
        // What was wrong is asked once more, to be said.
        Err(_) => Err(pool.get().await.err().unwrap_or(StoreError::Timeout).into()),
    }
}

/// What was done, for people.
#[must_use]
pub fn report(applied: &[i32]) -> String {
    if applied.is_empty() {
        return "up to date".to_owned();
    }
    let versions: Vec<String> = applied.iter().map(i32::to_string).collect();
    format!("applied {}", versions.join(", "))
}

#[cfg(test)]
mod tests {
    use super::report;

    #[test]
    fn the_report_names_the_versions_applied() {
        assert_eq!(report(&[]), "up to date");
        assert_eq!(report(&[1, 2]), "applied 1, 2");
    }
}
